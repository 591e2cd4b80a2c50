"""Every SQL statement on people, what they prove themselves with, their sessions and mailed links."""
