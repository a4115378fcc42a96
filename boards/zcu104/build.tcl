# vivado -mode batch -source boards/zcu104/build.tcl
# ZCU104: XCZU7EV-2, 2 GB of DDR4 at the processor; the board's preset comes with Vivado.
set board {
    name ZCU104
    folder zcu104
    part xczu7ev-ffvc1156-2-e
    board_part xilinx.com:zcu104:part0:1.1
    config ZCU104
    n_cores 16
    n_lanes 32
    clock_mhz 187.498
    processor xilinx.com:ip:zynq_ultra_ps_e:3.5
    instance ps_e_0
    control M_AXI_HPM0_FPD
    memory S_AXI_HP0_FPD
    interrupt pl_ps_irq0
    clock pl_clk0
    reset pl_resetn0
    clocked {maxihpm0_fpd_aclk saxihp0_fpd_aclk}
    engine_address 0xA0000000
    interrupt_controller_address 0xA0010000
    settings {
        CONFIG.PSU__FPGA_PL0_ENABLE 1
        CONFIG.PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL
        CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 187.498
        CONFIG.PSU__USE__M_AXI_GP0 1
        CONFIG.PSU__USE__M_AXI_GP1 0
        CONFIG.PSU__USE__M_AXI_GP2 0
        CONFIG.PSU__MAXIGP0__DATA_WIDTH 32
        CONFIG.PSU__USE__S_AXI_GP2 1
        CONFIG.PSU__SAXIGP2__DATA_WIDTH 64
        CONFIG.PSU__USE__IRQ0 1
    }
}
source [file join [file dirname [file normalize [info script]]] .. vivado pumice.tcl]
build
