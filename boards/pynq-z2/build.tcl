# vivado -mode batch -source boards/pynq-z2/build.tcl
# PYNQ-Z2: XC7Z020-1, 512 MB of 16-bit DDR3. Its PYNQ image's boot loader has set up memory and pins already; what is said
# of them here gives the block design the right address range.
set board {
    name PYNQ-Z2
    folder pynq-z2
    part xc7z020clg400-1
    board_part {}
    config Z7020
    n_cores 4
    n_lanes 32
    clock_mhz 111.111
    processor xilinx.com:ip:processing_system7:5.5
    instance ps7_0
    control M_AXI_GP0
    memory S_AXI_HP0
    interrupt IRQ_F2P
    clock FCLK_CLK0
    reset FCLK_RESET0_N
    clocked {M_AXI_GP0_ACLK S_AXI_HP0_ACLK}
    engine_address 0x40000000
    interrupt_controller_address 0x40010000
    settings {
        CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ 50
        CONFIG.PCW_FPGA_FCLK0_ENABLE 1
        CONFIG.PCW_FCLK0_PERIPHERAL_CLKSRC {IO PLL}
        CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ 111.111
        CONFIG.PCW_USE_M_AXI_GP0 1
        CONFIG.PCW_USE_S_AXI_HP0 1
        CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64
        CONFIG.PCW_USE_FABRIC_INTERRUPT 1
        CONFIG.PCW_IRQ_F2P_INTR 1
        CONFIG.PCW_UIPARAM_DDR_PARTNO {MT41J256M16 RE-125}
        CONFIG.PCW_UIPARAM_DDR_BUS_WIDTH {16 Bit}
    }
}
source [file join [file dirname [file normalize [info script]]] .. vivado pumice.tcl]
build
