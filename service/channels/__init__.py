"""Channels: messages, attempts and receipts, the texts people read, and the gateways that carry them."""
