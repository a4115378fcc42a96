# Bytes and halfwords in RAM, then registers; every result goes to mailbox.detail.
  lui s0, 0x80000
  li a0, 0x3000
  li t0, 0x11223344
  sw t0, 0(a0)
  sw t0, 4(a0)
  sw t0, 8(a0)
  li t1, 0xAB
  sb t1, 1(a0)
  sb t1, 7(a0)
  li t1, 0xCDEF
  sh t1, 2(a0)
  sh t1, 4(a0)

  .macro report instruction, address:vararg
  \instruction a1, \address
  sw a1, 8(s0)
  .endm
  report lw, 0(a0)
  report lw, 4(a0)
  report lw, 8(a0)
  report lbu, 7(a0)
  report lh, 2(a0)
  report lw, 0x10(s0)   # mailbox.config
  li t1, 1
  sw t1, 0x300(s0)      # no block: lost
  report lw, 0x300(s0)
  lui s1, 0x80010       # nor is it mailbox.config there
  report lw, 0x10(s1)
  sw zero, 4(s0)        # mailbox.finish
1:
  j 1b
