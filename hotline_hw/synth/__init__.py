"""What the accelerator costs on an FPGA, and how fast it is there, with open tools.

targets   the FPGAs, and which tool makes what of them
verilog   the generated Verilog, cut into units that are synthesized one by one
yosys     synthesis of a unit, in a process of its own
netlist   what Yosys wrote: cells, nets and their names in the source
cells     which output of a cell depends on which input, and by how much
paths     the longest paths of the whole design, across units
usage     cells by kind, memories by name
wrapper   a top with few pins
resets    large resets on global networks
place     place and route
flow      all of it, in order
report    the result as data and as tables
"""
