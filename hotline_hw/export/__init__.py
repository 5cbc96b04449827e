"""What leaves the project: Verilog with its sidecar, register files, resource counts."""
