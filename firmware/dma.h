// The DMA's registers. All calls but pumice_dma_clear also fail with the DMA's own fault (bus, bounds; detail: the bus
// address) if there was one since the last clear.
#pragma once

#include "fault.h"

// Waits until the DMA is idle and zeroes its counts and its fault. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_dma_clear(void);

// Waits until `n_transfers` transfers (modulo 2^16) have completed. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_dma_wait(uint32_t n_transfers);

// Queues the TRANSFER descriptor at RAM address `descriptor`, its runs `moved` bytes further in their buffer, as soon as
// the queue is free. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_dma_submit(uint32_t descriptor, uint32_t moved);

// Queues a transfer as pumice_dma_copy makes it, and does not wait for its end. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_dma_queue_copy(uint32_t write, uint32_t buffer, uint32_t local, uint32_t offset,
                                                      uint32_t n_bytes);

// Moves bytes between soft-core RAM and a buffer and waits until the DMA is idle: `write` 0 fills the RAM, 1 the
// buffer; address, offset and length are multiples of 8. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_dma_copy(uint32_t write, uint32_t buffer, uint32_t local, uint32_t offset,
                                                uint32_t n_bytes);
