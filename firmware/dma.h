// The DMA's registers, for transfers of the firmware's own: those of the lists come from the walker. All calls but
// pumice_dma_clear also fail with the DMA's own fault (bus, bounds; detail: the bus address) if there was one since the
// last clear.
#pragma once

#include "fault.h"

// Waits until the DMA is idle and zeroes its counts and its fault. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_dma_clear(void);

// Fails if the DMA has.
PUMICE_MUST_USE pumice_status_t pumice_dma_check(void);

// Queues a transfer between soft-core RAM and a buffer as soon as no other one waits: `write` 0 fills the RAM, 1 the
// buffer; address, offset and length are multiples of 8. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_dma_queue(uint32_t write, uint32_t buffer, uint32_t local, uint32_t offset,
                                                 uint32_t n_bytes);

// Does the same and waits until the DMA is idle.
PUMICE_MUST_USE pumice_status_t pumice_dma_copy(uint32_t write, uint32_t buffer, uint32_t local, uint32_t offset,
                                                uint32_t n_bytes);
