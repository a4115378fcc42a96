#include "dma.h"

#include "config.h"

PUMICE_MUST_USE static pumice_status_t check(uint32_t status) {
  if ((status & PUMICE_DMA_STATUS_FAULT_MASK) == 0) return pumice_ok();
  return pumice_fault(PUMICE_GET(status, PUMICE_DMA_STATUS_FAULT), pumice_read(PUMICE_DMA_FAULT_ADDRESS_ADDRESS));
}

pumice_status_t pumice_dma_check(void) { return check(pumice_read(PUMICE_DMA_STATUS_ADDRESS)); }

// Waits until all bits of `mask` in the status register are 0.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t wait_status(uint32_t mask) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    const uint32_t status = pumice_read(PUMICE_DMA_STATUS_ADDRESS);
    PUMICE_TRY(check(status));
    if ((status & mask) == 0) return pumice_ok();
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_DMA_STATUS_ADDRESS);
}

PUMICE_APART pumice_status_t pumice_dma_queue(uint32_t head, uint32_t local, uint32_t offset, uint32_t n_bytes) {
  PUMICE_TRY(wait_status(PUMICE_DMA_STATUS_WAITS_MASK));
  pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS, head);
  pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS + 4 * PUMICE_TRANSFER_LOCAL_WORD, local);
  pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS + 4 * PUMICE_TRANSFER_OFFSET_WORD, offset);
  pumice_write(PUMICE_DMA_DESCRIPTOR_ADDRESS + 4 * PUMICE_TRANSFER_N_BYTES_WORD, n_bytes);
  pumice_write(PUMICE_DMA_SUBMIT_ADDRESS, PUMICE_DMA_SUBMIT_GO_MASK);
  return pumice_ok();
}

pumice_status_t pumice_dma_copy(uint32_t head, uint32_t local, uint32_t offset, uint32_t n_bytes) {
  PUMICE_TRY(pumice_dma_queue(head, local, offset, n_bytes));
  return wait_status(PUMICE_DMA_STATUS_BUSY_MASK);
}
