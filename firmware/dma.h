// The DMA's registers, for transfers of the firmware's own: those of the lists come from the walker. Calls that can fail
// also fail with the DMA's own fault (bus, bounds; detail: the bus address) if there was one since the last clear.
#pragma once

#include <stdbool.h>

#include "fault.h"
#include "mmio.h"

// Says whether a transfer waits or runs.
static inline bool pumice_dma_busy(void) {
  return (pumice_read(PUMICE_DMA_STATUS_ADDRESS) & PUMICE_DMA_STATUS_BUSY_MASK) != 0;
}

// Zeroes counts and fault, while it is idle.
static inline void pumice_dma_clear(void) { pumice_write(PUMICE_DMA_CLEAR_ADDRESS, PUMICE_DMA_CLEAR_CLEAR_MASK); }

// Fails if the DMA has.
PUMICE_MUST_USE pumice_status_t pumice_dma_check(void);

// First word of a transfer between soft-core RAM and a buffer: `write` 0 fills the RAM, 1 the buffer.
#define PUMICE_DMA_HEAD(write, buffer)                                                                      \
  (PUMICE_SET(write, PUMICE_TRANSFER_WRITE) | PUMICE_SET(PUMICE_SPACE_CPU_RAM, PUMICE_TRANSFER_SPACE) |      \
   PUMICE_SET(buffer, PUMICE_TRANSFER_BUFFER) | PUMICE_SET(1, PUMICE_TRANSFER_N_RUNS))

// Queues such a transfer as soon as no other one waits; address, offset and length are multiples of 8. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_dma_queue(uint32_t head, uint32_t local, uint32_t offset, uint32_t n_bytes);

// Does the same and waits until the DMA is idle.
PUMICE_MUST_USE pumice_status_t pumice_dma_copy(uint32_t head, uint32_t local, uint32_t offset, uint32_t n_bytes);
