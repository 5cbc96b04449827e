"""One bank: its queues, its tracker, its list of unique cold rows."""
