"""What host software does about the tracker, shared by the driver and the popularity study: plain data in and out."""
