# Reset and trap entry. Clears .bss, because a reset leaves the RAM as it is.
  .globl pumice_firmware_bytes
  .set pumice_firmware_bytes, PUMICE_STACK_TOP

  .section .text.start, "ax"
  .globl _start
_start:
  la t0, trap
  csrw mtvec, t0
  la sp, pumice_stack_top
  la t0, pumice_bss_start
  la t1, pumice_bss_end
1:
  bgeu t0, t1, 2f
  sw zero, 0(t0)
  addi t0, t0, 4
  j 1b
2:
  call main

  .balign 4
trap:
  csrr a0, mepc
  la sp, pumice_stack_top
  call pumice_trap
