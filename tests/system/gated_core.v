// The device behind a clock gate: registers are reached, the core sleeps and wakes, and a reset of one cycle reaches it.
`timescale 1ns / 1ps
module gated_core;
  reg clk = 0, rst = 1, enabled = 1;
  always #2 clk = ~clk;
  wire enable;
  always @* if (!clk) enabled = enable;  // a clock gate: its latch is open while clk is low
  wire core_clk = clk & enabled;

  reg [12:0] awaddr = 0, araddr = 0;
  reg [31:0] wdata = 0, value = 0;
  reg awvalid = 0, wvalid = 0, bready = 0, arvalid = 0, rready = 0;
  wire awready, wready, bvalid, arready, rvalid;
  wire [31:0] rdata;
  hotline_device dut (
    .clk(clk), .rst(rst), .bus_rst(rst), .core_clk(core_clk), .core_clk_enable(enable),
    .s_axil_awaddr(awaddr), .s_axil_awprot(3'd0), .s_axil_awvalid(awvalid), .s_axil_awready(awready),
    .s_axil_wdata(wdata), .s_axil_wstrb(4'hF), .s_axil_wvalid(wvalid), .s_axil_wready(wready),
    .s_axil_bvalid(bvalid), .s_axil_bready(bready),
    .s_axil_araddr(araddr), .s_axil_arprot(3'd0), .s_axil_arvalid(arvalid), .s_axil_arready(arready),
    .s_axil_rdata(rdata), .s_axil_rvalid(rvalid), .s_axil_rready(rready),
    .m_axi_awready(1'b0), .m_axi_wready(1'b0), .m_axi_bvalid(1'b0), .m_axi_bid(2'd0), .m_axi_bresp(2'd0),
    .m_axi_arready(1'b0), .m_axi_rvalid(1'b0), .m_axi_rid(2'd0), .m_axi_rdata(128'd0), .m_axi_rresp(2'd0),
    .m_axi_rlast(1'b0)
  );

  task read(input [12:0] address);
    begin
      @(negedge clk) araddr = address; arvalid = 1; rready = 1;
      while (!arready) @(negedge clk);
      @(negedge clk) arvalid = 0;
      while (!rvalid) @(negedge clk);
      value = rdata;
      @(negedge clk) rready = 0;
    end
  endtask
  task write(input [12:0] address, input [31:0] data);
    begin
      @(negedge clk) awaddr = address; wdata = data; awvalid = 1; wvalid = 1; bready = 1;
      while (!(awready && wready)) @(negedge clk);
      @(negedge clk) awvalid = 0; wvalid = 0;
      while (!bvalid) @(negedge clk);
      @(negedge clk) bready = 0;
    end
  endtask
  task sleep;
    begin
      while (enable) @(negedge clk);
      repeat (7) @(negedge clk);
    end
  endtask
  task check(input ok, input [8*40-1:0] what);
    if (!ok) begin
      $display("FAIL: %0s (read %h)", what, value);
      $fatal(1);
    end
  endtask

  initial begin
    repeat (3) @(negedge clk);
    rst = 0;
    sleep;
    read(13'h000);
    check(value == 32'h484F544C, "ID");
    sleep;
    write(13'h024, 32'hCAFE0001);
    sleep;
    read(13'h024);
    check(value == 32'hCAFE0001, "SCRATCH, written and read asleep");
    sleep;
    @(negedge clk) rst = 1;
    @(negedge clk) rst = 0;
    read(13'h024);
    check(value == 0, "a reset of one cycle, asleep");
    $display("PASS");
    $finish;
  end
  initial #40000 check(0, "it does not end");
endmodule
