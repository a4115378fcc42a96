// Register and RAM accesses of the firmware, handed to the test.
#include <stdint.h>

#include "mmio.h"

static uint32_t (*read_callback)(uint32_t address);
static void (*write_callback)(uint32_t address, uint32_t value);

void pumice_fake(uint32_t (*read)(uint32_t), void (*write)(uint32_t, uint32_t));

void pumice_fake(uint32_t (*read)(uint32_t),
                 void (*write)(uint32_t, uint32_t)) {
  read_callback = read;
  write_callback = write;
}

uint32_t pumice_read(uint32_t address) { return read_callback(address); }

void pumice_write(uint32_t address, uint32_t value) {
  write_callback(address, value);
}
