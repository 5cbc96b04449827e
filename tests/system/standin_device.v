// Ports of hotline_device with 128-bit beats and 2-bit ids, around a manager that copies: for tests of the harness.
//
// 0x1000  source, bits 31:0 above 1 << 32          0x1010  write: starts; bits 7:0 beats - 1
// 0x1004  target                                   0x1014  read: 1 while it copies; 3:2, 5:4 worst response of R, B
// 0x1008  cycles of core_clk so far                0x1018  bit 0: the core is enabled; bit 1: arvalid falls at once;
// 0x100c  write: clears irq                                bit 2: registers do not answer (until reset)
// others  SLVERR
module hotline_device (
    input clk, input rst, input bus_rst, input core_clk, output core_clk_enable, output reg irq,
    input [12:0] s_axil_awaddr, input [2:0] s_axil_awprot, input s_axil_awvalid, output s_axil_awready,
    input [31:0] s_axil_wdata, input [3:0] s_axil_wstrb, input s_axil_wvalid, output s_axil_wready,
    output reg [1:0] s_axil_bresp, output reg s_axil_bvalid, input s_axil_bready,
    input [12:0] s_axil_araddr, input [2:0] s_axil_arprot, input s_axil_arvalid, output s_axil_arready,
    output reg [31:0] s_axil_rdata, output reg [1:0] s_axil_rresp, output reg s_axil_rvalid, input s_axil_rready,
    output [1:0] m_axi_awid, output [63:0] m_axi_awaddr, output [7:0] m_axi_awlen, output [2:0] m_axi_awsize,
    output [1:0] m_axi_awburst, output m_axi_awlock, output [3:0] m_axi_awcache, output [2:0] m_axi_awprot,
    output [3:0] m_axi_awqos, output reg m_axi_awvalid, input m_axi_awready,
    output [127:0] m_axi_wdata, output [15:0] m_axi_wstrb, output m_axi_wlast, output m_axi_wvalid, input m_axi_wready,
    input [1:0] m_axi_bid, input [1:0] m_axi_bresp, input m_axi_bvalid, output m_axi_bready,
    output [1:0] m_axi_arid, output [63:0] m_axi_araddr, output [7:0] m_axi_arlen, output [2:0] m_axi_arsize,
    output [1:0] m_axi_arburst, output m_axi_arlock, output [3:0] m_axi_arcache, output [2:0] m_axi_arprot,
    output [3:0] m_axi_arqos, output reg m_axi_arvalid, input m_axi_arready,
    input [1:0] m_axi_rid, input [127:0] m_axi_rdata, input [1:0] m_axi_rresp, input m_axi_rlast,
    input m_axi_rvalid, output m_axi_rready
);
    reg [31:0] source, target, core_cycles;
    reg [7:0] beats;
    reg [2:0] control;
    reg [1:0] read_worst, write_worst;
    reg busy;

    // The burst is read whole, then written.
    reg [127:0] data [0:255];
    reg [8:0] got, sent;
    reg writing;
    assign {m_axi_arid, m_axi_arlock, m_axi_arcache, m_axi_arprot, m_axi_arqos} = {2'd1, 12'd0};
    assign {m_axi_awid, m_axi_awlock, m_axi_awcache, m_axi_awprot, m_axi_awqos} = {2'd2, 12'd0};
    assign {m_axi_arsize, m_axi_arburst, m_axi_awsize, m_axi_awburst} = {2{3'd4, 2'd1}};
    assign m_axi_araddr = {32'd1, source};
    assign m_axi_awaddr = {32'd1, target};
    assign m_axi_arlen = beats;
    assign m_axi_awlen = beats;
    assign m_axi_wdata = data[sent[7:0]];
    assign m_axi_wstrb = 16'hffff;
    assign m_axi_wlast = sent == {1'b0, beats};
    assign m_axi_wvalid = writing && sent <= {1'b0, beats};
    assign m_axi_rready = 1;
    assign m_axi_bready = 1;
    assign core_clk_enable = rst | control[0];

    wire write = s_axil_awvalid && s_axil_wvalid && !s_axil_bvalid && !control[2];
    wire read = s_axil_arvalid && !s_axil_rvalid && !control[2];
    assign s_axil_awready = write;
    assign s_axil_wready = write;
    assign s_axil_arready = read;

    always @(posedge core_clk) core_cycles <= rst ? 0 : core_cycles + 1;

    always @(posedge clk) begin
        if (s_axil_bready) s_axil_bvalid <= 0;
        if (s_axil_rready) s_axil_rvalid <= 0;
        if (m_axi_arready || control[1]) m_axi_arvalid <= 0;
        if (m_axi_awready) m_axi_awvalid <= 0;
        if (m_axi_rvalid) begin
            data[got[7:0]] <= m_axi_rdata;
            got <= got + 1;
            if (m_axi_rresp > read_worst) read_worst <= m_axi_rresp;
            if (m_axi_rlast) {m_axi_awvalid, writing} <= 2'b11;
        end
        if (m_axi_wvalid && m_axi_wready) sent <= sent + 1;
        if (m_axi_bvalid) begin
            {busy, writing, irq} <= 3'b001;
            write_worst <= m_axi_bresp;
        end
        if (write) begin
            s_axil_bvalid <= 1;
            s_axil_bresp <= 0;
            case (s_axil_awaddr)
                13'h1000: source <= s_axil_wdata;
                13'h1004: target <= s_axil_wdata;
                13'h100c: irq <= 0;
                13'h1010: begin
                    beats <= s_axil_wdata[7:0];
                    {got, sent, read_worst} <= 0;
                    {m_axi_arvalid, busy} <= 2'b11;
                end
                13'h1018: control <= s_axil_wdata[2:0];
                default: s_axil_bresp <= 2;
            endcase
        end
        if (read) begin
            s_axil_rvalid <= 1;
            s_axil_rresp <= 0;
            case (s_axil_araddr)
                13'h1000: s_axil_rdata <= source;
                13'h1008: s_axil_rdata <= core_cycles;
                13'h1014: s_axil_rdata <= {26'd0, write_worst, read_worst, 1'b0, busy};
                default: {s_axil_rdata, s_axil_rresp} <= {32'd0, 2'd2};
            endcase
        end
        if (rst) begin
            {source, target, beats, control, busy, writing, got, sent, read_worst, write_worst} <= 0;
            {irq, s_axil_bvalid, s_axil_rvalid, m_axi_arvalid, m_axi_awvalid} <= 0;
        end
    end
endmodule
