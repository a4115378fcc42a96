# Reset and trap entry. Clears .bss, because a reset leaves the RAM as it is.
  .globl pumice_firmware_bytes
  .set pumice_firmware_bytes, PUMICE_STACK_TOP

# PicoRV32's own instructions: registers q0.. hold where a trap came from, and retirq leaves it.
  .macro getq to, q
  .insn r 0x0b, 4, 0, \to, \q, zero
  .endm
  .macro setq q, from
  .insn r 0x0b, 2, 1, \q, \from, zero
  .endm
  .macro retirq
  .insn r 0x0b, 0, 2, zero, zero, zero
  .endm
  .macro unmask_traps
  .insn r 0x0b, 6, 3, zero, zero, zero
  .endm

  .section .text.start, "ax"
  .globl _start
_start:
  j 1f

  .org PUMICE_TRAP_ADDRESS
trap:  # is left at once: in a trap, another one would stop the processor
  getq a0, x0
  la t0, trapped
  setq x0, t0
  retirq
trapped:
  la sp, pumice_stack_top
  call pumice_trap

1:
  unmask_traps
  la sp, pumice_stack_top
  la t0, pumice_bss_start
  la t1, pumice_bss_end
2:
  bgeu t0, t1, 3f
  sw zero, 0(t0)
  addi t0, t0, 4
  j 2b
3:
  call main
