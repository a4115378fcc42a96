#include "engine.h"

#include "config.h"
#include "mmio.h"

// Waits until all bits of `mask` in the status register are 0.
PUMICE_MUST_USE static pumice_status_t wait_status(uint32_t mask) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    if ((pumice_read(PUMICE_ENGINE_STATUS_ADDRESS) & mask) == 0) {
      return pumice_ok();
    }
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_ENGINE_STATUS_ADDRESS);
}

pumice_status_t pumice_engine_clear(void) {
  PUMICE_TRY(wait_status(PUMICE_ENGINE_STATUS_BUSY_MASK));
  pumice_write(PUMICE_ENGINE_CLEAR_ADDRESS, PUMICE_ENGINE_CLEAR_CLEAR_MASK);
  return pumice_ok();
}

pumice_status_t pumice_engine_wait(uint32_t n_layers) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    if (pumice_read(PUMICE_ENGINE_COMPLETED_ADDRESS) >= n_layers) {
      return pumice_ok();
    }
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_ENGINE_COMPLETED_ADDRESS);
}

pumice_status_t pumice_engine_submit(uint32_t descriptor) {
  // The words wait in CPU registers, so that only stores lie between a free queue and the submit.
  uint32_t words[PUMICE_LAYER_N_WORDS];
#pragma clang loop unroll(full)
  for (uint32_t i = 0; i < PUMICE_LAYER_N_WORDS; i++) {
    words[i] = pumice_read(descriptor + 4 * i);
  }
  PUMICE_TRY(wait_status(PUMICE_ENGINE_STATUS_QUEUE_FULL_MASK));
#pragma clang loop unroll(full)
  for (uint32_t i = 0; i < PUMICE_LAYER_N_WORDS; i++) {
    pumice_write(PUMICE_ENGINE_DESCRIPTOR_ADDRESS + 4 * i, words[i]);
  }
  pumice_write(PUMICE_ENGINE_SUBMIT_ADDRESS, PUMICE_ENGINE_SUBMIT_GO_MASK);
  return pumice_ok();
}
