"""From a geometry to something that runs: tools, generated Verilog, and the cache of builds."""
