#include "mmio.h"
#include "schedule.h"

int main(void) {
  pumice_write(PUMICE_MAILBOX_READY_ADDRESS, PUMICE_MAILBOX_READY_READY_MASK);
  for (;;) pumice_serve();
}
