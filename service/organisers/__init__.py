"""Who decides and pays: organisers, the regions that group them, and their programmes."""
