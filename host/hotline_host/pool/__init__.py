"""Where the rows of every mini-batch are in the device's pool, and how its lookups are grouped. No torch."""
