"""What needs a person: one list for an organiser's caseworkers, from delivery, families and vouchers alike."""
