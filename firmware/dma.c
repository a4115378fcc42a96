#include "dma.h"

#include "config.h"
#include "mmio.h"

PUMICE_MUST_USE static pumice_status_t check(uint32_t status) {
  if ((status & PUMICE_DMA_STATUS_FAULT_MASK) == 0) return pumice_ok();
  return pumice_fault(PUMICE_GET(status, PUMICE_DMA_STATUS_FAULT), pumice_read(PUMICE_DMA_FAULT_ADDRESS_ADDRESS));
}

// Waits until all bits of `mask` in the status register are 0.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t wait_status(uint32_t mask) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    const uint32_t status = pumice_read(PUMICE_DMA_STATUS_ADDRESS);
    PUMICE_TRY(check(status));
    if ((status & mask) == 0) return pumice_ok();
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_DMA_STATUS_ADDRESS);
}

pumice_status_t pumice_dma_clear(void) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    if ((pumice_read(PUMICE_DMA_STATUS_ADDRESS) & PUMICE_DMA_STATUS_BUSY_MASK) == 0) {
      pumice_write(PUMICE_DMA_CLEAR_ADDRESS, PUMICE_DMA_CLEAR_CLEAR_MASK);
      return pumice_ok();
    }
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_DMA_STATUS_ADDRESS);
}

pumice_status_t pumice_dma_wait(uint32_t n_transfers) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    PUMICE_TRY(check(pumice_read(PUMICE_DMA_STATUS_ADDRESS)));
    if (pumice_reached(pumice_read(PUMICE_DMA_COMPLETED_ADDRESS), n_transfers)) return pumice_ok();
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_DMA_COMPLETED_ADDRESS);
}

#define WORD(field) (4 * PUMICE_TRANSFER_##field##_WORD)

// Queues a transfer; the pitches are in the registers, or there is one run.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t submit(uint32_t head, uint32_t local, uint32_t offset,
                                                           uint32_t n_bytes) {
  PUMICE_TRY(wait_status(PUMICE_DMA_STATUS_QUEUE_FULL_MASK));
  pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS, head);
  pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS + WORD(LOCAL), local);
  pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS + WORD(OFFSET), offset);
  pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS + WORD(N_BYTES), n_bytes);
  pumice_write(PUMICE_DMA_SUBMIT_ADDRESS, PUMICE_DMA_SUBMIT_GO_MASK);
  return pumice_ok();
}

pumice_status_t pumice_dma_submit(uint32_t descriptor, uint32_t moved) {
  const uint32_t head = pumice_read(descriptor);
  if ((head & PUMICE_TRANSFER_N_RUNS_MASK) != PUMICE_SET(1, PUMICE_TRANSFER_N_RUNS)) {
    PUMICE_TRY(wait_status(PUMICE_DMA_STATUS_QUEUE_FULL_MASK));
    pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS + WORD(LOCAL_PITCH), pumice_read(descriptor + WORD(LOCAL_PITCH)));
    pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS + WORD(PITCH), pumice_read(descriptor + WORD(PITCH)));
  }
  return submit(head, pumice_read(descriptor + WORD(LOCAL)), pumice_read(descriptor + WORD(OFFSET)) + moved,
                pumice_read(descriptor + WORD(N_BYTES)));
}

pumice_status_t pumice_dma_queue_copy(uint32_t write, uint32_t buffer, uint32_t local, uint32_t offset,
                                      uint32_t n_bytes) {
  return submit(PUMICE_SET(write, PUMICE_TRANSFER_WRITE) | PUMICE_SET(PUMICE_SPACE_CPU_RAM, PUMICE_TRANSFER_SPACE) |
                    PUMICE_SET(buffer, PUMICE_TRANSFER_BUFFER) | PUMICE_SET(1, PUMICE_TRANSFER_N_RUNS),
                local, offset, n_bytes);
}

PUMICE_COLD pumice_status_t pumice_dma_copy(uint32_t write, uint32_t buffer, uint32_t local, uint32_t offset,
                                            uint32_t n_bytes) {
  PUMICE_TRY(pumice_dma_queue_copy(write, buffer, local, offset, n_bytes));
  return wait_status(PUMICE_DMA_STATUS_BUSY_MASK);
}
