#include "engine.h"

#include "config.h"
#include "mmio.h"

pumice_status_t pumice_engine_clear(void) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    if ((pumice_read(PUMICE_ENGINE_STATUS_ADDRESS) & PUMICE_ENGINE_STATUS_BUSY_MASK) == 0) {
      pumice_write(PUMICE_ENGINE_CLEAR_ADDRESS, PUMICE_ENGINE_CLEAR_CLEAR_MASK);
      return pumice_ok();
    }
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_ENGINE_STATUS_ADDRESS);
}
