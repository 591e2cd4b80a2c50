"""The command line of messages: `template preview`, `channel pause|resume|status`, `bounces`."""
