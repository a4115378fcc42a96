# What the boards with a Zynq have in common: package the engine as IP, build the block design around it, implement it.
# Sourced by boards/<name>/build.tcl, which says what is particular to a board.

# `::board` is a dictionary: name, folder, part, board_part (may be empty), config, n_cores, n_lanes,
# clock_mhz, processor (VLNV), instance, control, memory, interrupt, clock, reset, clocked (clock inputs), settings,
# engine_address, interrupt_controller_address.

set here [file dirname [file normalize [info script]]]
set root [file normalize [file join $here .. ..]]

proc board {key} { return [dict get $::board $key] }

# A command of this Python package. Vivado brings a Python and libraries of its own that must not leak into it.
proc pumice {args} {
    set python [expr {[info exists ::env(PUMICE_PYTHON)] ? $::env(PUMICE_PYTHON) : "python3"}]
    exec env -u PYTHONHOME -u PYTHONPATH -u LD_LIBRARY_PATH $python -m {*}$args >@ stdout 2>@ stderr
}

# The engine as IP with the VLNV and the register names that the host library looks for.
proc package_engine {sources ip} {
    create_project -force -part [board part] package_engine [file join $ip project]
    add_files -norecurse [list [file join $sources pumice_engine.v] [file join $sources soft_core.v]]
    set_property top pumice_engine [current_fileset]
    update_compile_order -fileset sources_1
    ipx::package_project -root_dir $ip -vendor pumice -library user -taxonomy /UserIP -import_files -force
    set core [ipx::current_core]
    set_property name pumice_engine $core
    set_property version 1.0 $core
    set_property display_name "Pumice engine" $core
    set_property description "Engine for pruned int8 networks" $core
    set_property supported_families {zynq Production zynquplus Production} $core

    # What the block design shows, and PYNQ reads in the .hwh.
    source [file join $::here spec.tcl]
    set values [list CONFIG_ID [dict get $config_ids [board name]] N_CORES [board n_cores] N_LANES [board n_lanes]]
    foreach {name value} $values {
        ipx::add_user_parameter $name $core
        set parameter [ipx::get_user_parameters $name -of_objects $core]
        set_property value_resolve_type user $parameter
        set_property value $value $parameter
    }

    # Inference of the AXI4-Lite slave makes a memory map named after it, with one block without registers.
    set block [ipx::get_address_blocks reg0 -of_objects [ipx::get_memory_maps host -of_objects $core]]
    set_property name registers $block
    set_property range 4096 $block
    set_property usage register $block
    foreach {name offset access fields} $registers {
        ipx::add_register $name $block
        set register [ipx::get_registers $name -of_objects $block]
        set_property address_offset $offset $register
        set_property size 32 $register
        set_property access $access $register
        foreach {field lsb bits field_access} $fields {
            ipx::add_field $field $register
            set object [ipx::get_fields $field -of_objects $register]
            set_property bit_offset $lsb $object
            set_property bit_width $bits $object
            set_property access $field_access $object
        }
    }
    ipx::create_xgui_files $core
    ipx::update_checksums $core
    ipx::check_integrity $core
    ipx::save_core $core
    close_project
}

proc cell {vlnv name args} {
    set made [create_bd_cell -type ip -vlnv $vlnv $name]
    if {[llength $args]} { set_property -dict $args $made }
}

proc wire {args} {
    connect_bd_net {*}[lmap pin $args { get_bd_pins $pin }]
}

proc bus {from to} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

# Processor, engine, and what joins them.
proc make_design {} {
    create_bd_design pumice
    set ps [board instance]
    cell [board processor] $ps
    if {[board board_part] ne ""} {
        # Before the settings, which it would undo.
        apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset 1} [get_bd_cells $ps]
    }
    set_property -dict [board settings] [get_bd_cells $ps]
    if {[board board_part] eq ""} {
        apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
            -config {make_external "FIXED_IO, DDR" apply_board_preset 0 Master Disable Slave Disable} [get_bd_cells $ps]
    }
    cell pumice:user:pumice_engine:1.0 pumice_0
    cell xilinx.com:ip:proc_sys_reset:5.0 reset_0
    cell xilinx.com:ip:smartconnect:1.0 control_0 CONFIG.NUM_SI 1 CONFIG.NUM_MI 2
    cell xilinx.com:ip:smartconnect:1.0 memory_0 CONFIG.NUM_SI 1 CONFIG.NUM_MI 1
    cell xilinx.com:ip:axi_intc:4.1 axi_intc_0 CONFIG.C_IRQ_CONNECTION 1
    cell xilinx.com:ip:xlconcat:2.1 irq_concat_0 CONFIG.NUM_PORTS 1

    bus $ps/[board control] control_0/S00_AXI
    bus control_0/M00_AXI pumice_0/host
    bus control_0/M01_AXI axi_intc_0/s_axi
    bus pumice_0/memory memory_0/S00_AXI
    bus memory_0/M00_AXI $ps/[board memory]

    # PYNQ finds an interrupt only through an AXI interrupt controller, and that controller's only through a concat.
    wire pumice_0/interrupt irq_concat_0/In0
    wire irq_concat_0/dout axi_intc_0/intr
    wire axi_intc_0/irq $ps/[board interrupt]

    wire $ps/[board clock] reset_0/slowest_sync_clk pumice_0/aclk control_0/aclk memory_0/aclk axi_intc_0/s_axi_aclk \
        {*}[lmap pin [board clocked] { string cat $ps/ $pin }]
    wire $ps/[board reset] reset_0/ext_reset_in
    wire reset_0/peripheral_aresetn pumice_0/aresetn control_0/aresetn memory_0/aresetn axi_intc_0/s_axi_aresetn

    set space [get_bd_addr_spaces $ps/Data]
    assign_bd_address -offset [board engine_address] -range 0x1000 \
        -target_address_space $space [get_bd_addr_segs pumice_0/host/registers]
    assign_bd_address -offset [board interrupt_controller_address] -range 0x1000 \
        -target_address_space $space [get_bd_addr_segs axi_intc_0/S_AXI/Reg]
    assign_bd_address -target_address_space [get_bd_addr_spaces pumice_0/memory] \
        [get_bd_addr_segs -of_objects [get_bd_intf_pins $ps/[board memory]]]
    validate_bd_design
    save_bd_design
}

# To the bitstream, with the hand-off and reports beside it.
proc implement {work output} {
    set design [get_files pumice.bd]
    add_files -norecurse [make_wrapper -files $design -top]
    set_property top pumice_wrapper [current_fileset]
    update_compile_order -fileset sources_1
    # Without global synthesis, the engine would be optimised on its own and its constraints could not be seen.
    set_property synth_checkpoint_mode None $design
    generate_target all $design
    launch_runs impl_1 -to_step write_bitstream -jobs 4
    wait_on_run impl_1
    if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} { error "implementation failed: see $work" }
    open_run impl_1
    file mkdir $output
    report_timing_summary -file [file join $output timing.rpt]
    report_utilization -hierarchical -file [file join $output utilisation.rpt]
    set slack [get_property SLACK [get_timing_paths -delay_type max]]
    file copy -force [file join $work pumice.runs impl_1 pumice_wrapper.bit] [file join $output pumice.bit]
    file copy -force [file join $work pumice.gen sources_1 bd pumice hw_handoff pumice.hwh] [file join $output pumice.hwh]
    puts "[board name]: slack $slack ns at [board clock_mhz] MHz, post-route; bitstream and hand-off in $output"
    if {$slack < 0} { error "the clock is not reached: slack $slack ns" }
}

proc build {} {
    set work [file join $::root .cache vivado [board folder]]
    set sources [file join $work sources]
    set ip [file join $work ip]
    file mkdir $sources $ip
    pumice pumice.vivado [board name] $sources
    package_engine $sources $ip
    create_project -force -part [board part] pumice [file join $work project]
    if {[board board_part] ne ""} { set_property board_part [board board_part] [current_project] }
    set_property ip_repo_paths $ip [current_project]
    update_ip_catalog -rebuild
    make_design
    implement [file join $work project] [file join $::root bitstreams [board folder]]
}
