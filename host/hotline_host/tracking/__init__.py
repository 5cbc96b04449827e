"""How host software steers the tracker. The driver and the popularity study share it; plain data in and out."""
