#include "schedule.h"

#include <stdbool.h>

#include "config.h"
#include "dma.h"
#include "engine.h"
#include "mmio.h"

enum {
  HEADER_BYTES = 4 * PUMICE_IMAGE_HEADER_N_WORDS,
  LIST_ALIGNMENT = 8,  // of offsets and lengths: the DMA's word
  RING_BYTES = 2 * PUMICE_PAGE_BYTES,
  READS_BEFORE_ATTENDING = 64,
};
#define IMAGE_TO_RAM PUMICE_DMA_HEAD(0, PUMICE_BUFFER_IMAGE)

// A command list: where it lies in the image and in RAM. All of it is in RAM when it fits (`paged` is false); else the
// two pages at `address` take turns.
typedef struct {
  uint32_t offset;
  uint32_t n_bytes;
  uint32_t address;
  bool paged;
} list_t;

static struct {
  bool loaded;
  list_t run;
  uint32_t n_layers;
  uint32_t input_bytes;   // of a sample
  uint32_t output_bytes;  // of a sample
} program;

// What the firmware does while the walker walks: it watches the progress and fetches pages.
static struct {
  uint32_t n_layers;     // completed since the command began
  uint32_t n_transfers;  // the same, own ones not counted
  uint32_t n_own;        // own transfers queued
  uint32_t page_ready;   // own transfers completed when the page fetched last is there
} duty;

static inline uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

void pumice_forget(void) {
  program.loaded = false;
  pumice_write(PUMICE_WALKER_CLEAR_ADDRESS, PUMICE_WALKER_CLEAR_CLEAR_MASK);
}

// A word of the image header, which lies at COMMANDS_OFFSET while an image is being loaded.
#define HEADER(field) pumice_read(PUMICE_COMMANDS_OFFSET + 4 * PUMICE_IMAGE_HEADER_##field##_WORD)

PUMICE_MUST_USE static pumice_status_t check_list(const list_t* list, uint32_t image_bytes) {
  if (list->n_bytes == 0 || ((list->n_bytes | list->offset) & (LIST_ALIGNMENT - 1)) != 0 ||
      list->offset > image_bytes || list->n_bytes > image_bytes - list->offset) {
    return pumice_fault(PUMICE_FAULT_IMAGE, list->offset);
  }
  return pumice_ok();
}

PUMICE_MUST_USE static pumice_status_t fetch_list(const list_t* list) {
  return pumice_dma_copy(IMAGE_TO_RAM, list->address, list->offset, list->n_bytes);
}

PUMICE_MUST_USE static pumice_status_t wait_idle(void) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    if (!pumice_engine_busy() && !pumice_dma_busy()) return pumice_ok();
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, pumice_engine_busy() ? PUMICE_ENGINE_STATUS_ADDRESS : PUMICE_DMA_STATUS_ADDRESS);
}

// Gives up what the walker still offers; waits until engine and DMA are idle. Faults: watchdog.
PUMICE_MUST_USE static inline pumice_status_t clear_counts(void) {
  pumice_write(PUMICE_WALKER_CLEAR_ADDRESS, PUMICE_WALKER_CLEAR_CLEAR_MASK);
  if (pumice_engine_busy() || pumice_dma_busy()) PUMICE_TRY(wait_idle());
  pumice_engine_clear();
  pumice_dma_clear();
  return pumice_ok();
}

// Sets the walker up for the first sample of a list, one with `n_layers` layers.
static void make_ready(const list_t* list, uint32_t n_layers) {
  pumice_write(PUMICE_WALKER_LOG_LAYERS_ADDRESS, n_layers);
  pumice_write(PUMICE_WALKER_SKIP_ADDRESS, PUMICE_SKIP_FIRST | PUMICE_SKIP_LAST);
  pumice_write(PUMICE_WALKER_INPUT_OFFSET_ADDRESS, 0);
  pumice_write(PUMICE_WALKER_OUTPUT_OFFSET_ADDRESS, 0);
  pumice_write(PUMICE_WALKER_END_ADDRESS, list->address + list->n_bytes);
}

// Leaves everything ready for runs: those of a single sample begin at their doorbell, without the firmware.
PUMICE_APART static void await_runs(void) {
  if (!program.loaded) return;
  make_ready(&program.run, program.n_layers);
  if (program.run.paged || pumice_engine_busy() || pumice_dma_busy()) return;
  pumice_write(PUMICE_WALKER_ARM_ADDRESS, program.run.address);
}

// Queues a transfer between RAM and a buffer; sets `ready`.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t queue_own(uint32_t head, uint32_t local, uint32_t offset,
                                                              uint32_t n_bytes, uint32_t* ready) {
  *ready = ++duty.n_own;
  return pumice_dma_queue(head, local, offset, n_bytes);
}

static inline bool own_reached(uint32_t n) { return pumice_reached(pumice_read(PUMICE_DMA_OWN_COMPLETED_ADDRESS), n); }

// Counts what has completed; whether anything has: `*goes_on`.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t attend(bool* goes_on) {
  PUMICE_TRY(pumice_dma_check());
  const uint32_t n_layers = pumice_read(PUMICE_ENGINE_COMPLETED_ADDRESS);
  const uint32_t n_transfers = pumice_read(PUMICE_DMA_COMPLETED_ADDRESS);
  *goes_on = n_layers != duty.n_layers || n_transfers != duty.n_transfers;
  duty.n_layers = n_layers;
  duty.n_transfers = n_transfers;
  return pumice_ok();
}

// Attends until as many own transfers have completed. Faults: watchdog when nothing completes meanwhile, those of the
// DMA.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t attend_own(uint32_t n) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    if (own_reached(n)) return pumice_ok();
    bool goes_on;
    PUMICE_TRY(attend(&goes_on));
    if (goes_on) polls = PUMICE_POLL_LIMIT;
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_DMA_OWN_COMPLETED_ADDRESS);
}

// Attends until the walker, which began or went on at RAM address `address` with byte `at` of a list, stops; `ended` is
// not 0 if at END. Faults: command (detail: the word offset of the malformed command), watchdog when nothing
// completes meanwhile, those of the DMA.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t follow(uint32_t address, uint32_t at, uint32_t* ended) {
  for (uint32_t polls = PUMICE_POLL_LIMIT; polls != 0; polls--) {
    // Most reads are of this one alone, so that the end of a sample is seen at once.
    for (uint32_t i = 0; i < READS_BEFORE_ATTENDING; i++) {
      const uint32_t status = pumice_read(PUMICE_WALKER_STATUS_ADDRESS);
      if ((status & PUMICE_WALKER_STATUS_BUSY_MASK) != 0) continue;
      *ended = status & PUMICE_WALKER_STATUS_ENDED_MASK;  // in its place: shifts take a cycle a bit
      if ((status & PUMICE_WALKER_STATUS_MALFORMED_MASK) == 0) return pumice_ok();
      return pumice_fault(PUMICE_FAULT_COMMAND, (at + pumice_read(PUMICE_WALKER_AT_ADDRESS) - address) / 4);
    }
    bool goes_on;
    PUMICE_TRY(attend(&goes_on));
    if (goes_on) polls = PUMICE_POLL_LIMIT;
  }
  return pumice_fault(PUMICE_FAULT_WATCHDOG, PUMICE_WALKER_STATUS_ADDRESS);
}

// Queues the fetch of the page that starts at byte `at` of a paged list, if there is one.
PUMICE_MUST_USE static pumice_status_t fetch_page(const list_t* list, uint32_t at) {
  if (at >= list->n_bytes) return pumice_ok();
  return queue_own(IMAGE_TO_RAM, list->address + (at & (RING_BYTES - 1)), list->offset + at,
                   smaller(list->n_bytes - at, PUMICE_PAGE_BYTES), &duty.page_ready);
}

// Has the walker walk a list that does not fit in RAM: one page is fetched while the other one is walked.
PUMICE_MUST_USE static pumice_status_t walk_pages(const list_t* list, uint32_t* ended) {
  PUMICE_TRY(fetch_page(list, 0));
  for (uint32_t at = 0; at < list->n_bytes && *ended == 0; at += PUMICE_PAGE_BYTES) {
    PUMICE_TRY(attend_own(duty.page_ready));
    PUMICE_TRY(fetch_page(list, at + PUMICE_PAGE_BYTES));
    const uint32_t address = list->address + (at & (RING_BYTES - 1));
    pumice_write(PUMICE_WALKER_END_ADDRESS, address + smaller(list->n_bytes - at, PUMICE_PAGE_BYTES));
    pumice_write(at == 0 ? PUMICE_WALKER_BEGIN_ADDRESS : PUMICE_WALKER_RESUME_ADDRESS, address);
    PUMICE_TRY(follow(address, at, ended));
  }
  return attend_own(duty.page_ready);
}

// Walks a list with `n_layers` layers once for each sample, `n_samples` of them; everything has completed at the end. The
// walker is ready for the first sample.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t run_samples(const list_t* list, uint32_t n_layers, uint32_t n_samples) {
  PUMICE_TRY(clear_counts());
  uint32_t left = n_samples - 1;
  if (left != 0) pumice_write(PUMICE_WALKER_SKIP_ADDRESS, PUMICE_SKIP_FIRST | PUMICE_SKIP_BUT_LAST);
  if (!list->paged) pumice_write(PUMICE_WALKER_BEGIN_ADDRESS, list->address);
  duty.n_layers = duty.n_transfers = duty.n_own = duty.page_ready = 0;
  uint32_t log_layers = n_layers;
  uint32_t input_offset = 0;
  uint32_t output_offset = 0;
  for (;;) {
    uint32_t ended = 0;
    PUMICE_TRY(list->paged ? walk_pages(list, &ended) : follow(list->address, 0, &ended));
    if (ended == 0) return pumice_fault(PUMICE_FAULT_COMMAND, list->n_bytes / 4);
    if (left == 0) return pumice_dma_check();
    left--;
    pumice_write(PUMICE_WALKER_LOG_LAYERS_ADDRESS, log_layers += n_layers);
    pumice_write(PUMICE_WALKER_SKIP_ADDRESS,
                 PUMICE_SKIP_BUT_FIRST | (left == 0 ? PUMICE_SKIP_LAST : PUMICE_SKIP_BUT_LAST));
    pumice_write(PUMICE_WALKER_INPUT_OFFSET_ADDRESS, input_offset += program.input_bytes);
    pumice_write(PUMICE_WALKER_OUTPUT_OFFSET_ADDRESS, output_offset += program.output_bytes);
    if (!list->paged) pumice_write(PUMICE_WALKER_BEGIN_ADDRESS, list->address);
  }
}

// The same; after a fault nothing more is handed over.
PUMICE_MUST_USE static pumice_status_t run_list(const list_t* list, uint32_t n_layers, uint32_t n_samples) {
  const pumice_status_t status = run_samples(list, n_layers, n_samples);
  if (status.fault != PUMICE_FAULT_NONE) pumice_write(PUMICE_WALKER_CLEAR_ADDRESS, PUMICE_WALKER_CLEAR_CLEAR_MASK);
  return status;
}

// Faults: image (detail: the offset of what is wrong), config, command, and those of the DMA and the load list.
PUMICE_MUST_USE static pumice_status_t load(void) {
  pumice_forget();
  PUMICE_TRY(clear_counts());
  PUMICE_TRY(pumice_dma_copy(IMAGE_TO_RAM, PUMICE_COMMANDS_OFFSET, 0, HEADER_BYTES));
  const uint32_t n_bytes = HEADER(N_BYTES);
  if (HEADER(MAGIC) != PUMICE_IMAGE_MAGIC || HEADER(VERSION) != PUMICE_IMAGE_VERSION ||
      n_bytes > pumice_read(PUMICE_MAILBOX_IMAGE_BYTES_ADDRESS)) {
    return pumice_fault(PUMICE_FAULT_IMAGE, 0);
  }
  const uint32_t config_id = HEADER(CONFIG_ID);
  if (config_id != pumice_read(PUMICE_MAILBOX_CONFIG_ADDRESS)) {
    return pumice_fault(PUMICE_FAULT_CONFIG, config_id);
  }
  list_t run = {HEADER(RUN_OFFSET), HEADER(RUN_BYTES), PUMICE_COMMANDS_OFFSET, false};
  list_t load = {HEADER(LOAD_OFFSET), HEADER(LOAD_BYTES), PUMICE_COMMANDS_OFFSET, false};
  program.n_layers = HEADER(N_LAYERS);
  program.input_bytes = HEADER(INPUT_BYTES);
  program.output_bytes = HEADER(OUTPUT_BYTES);
  PUMICE_TRY(check_list(&run, n_bytes));
  PUMICE_TRY(check_list(&load, n_bytes));
  // Lists begin where pages do: commands that lead to the next page count on it.
  const uint32_t room = PUMICE_RAM_BYTES - PUMICE_COMMANDS_OFFSET;
  const uint32_t run_room = (run.n_bytes + PUMICE_PAGE_BYTES - 1) & ~(PUMICE_PAGE_BYTES - 1u);
  if (run.n_bytes <= room && run_room <= room && load.n_bytes <= room - run_room) {
    load.address += run_room;
    PUMICE_TRY(fetch_list(&run));
    PUMICE_TRY(fetch_list(&load));
  } else {
    run.paged = load.paged = true;
  }
  pumice_write(PUMICE_WALKER_INPUT_BYTES_ADDRESS, program.input_bytes);
  pumice_write(PUMICE_WALKER_OUTPUT_BYTES_ADDRESS, program.output_bytes);
  make_ready(&load, 0);
  PUMICE_TRY(run_list(&load, 0, 1));
  program.run = run;
  program.loaded = true;
  return pumice_ok();
}

static inline uint32_t walker_has(uint32_t mask) { return pumice_read(PUMICE_WALKER_STATUS_ADDRESS) & mask; }

// Ends the command when everything is ready for the next one.
static void finish(pumice_status_t status) {
  await_runs();
  pumice_finish(status);
}

// Watches a walk that its doorbell has begun and whose end finishes the command; ends the command if there is a fault.
PUMICE_APART static void watch(void) {
  uint32_t ended = 0;
  duty.n_layers = duty.n_transfers = 0;
  pumice_status_t status = follow(program.run.address, 0, &ended);
  if (status.fault == PUMICE_FAULT_NONE && ended == 0) {
    status = pumice_fault(PUMICE_FAULT_COMMAND, program.run.n_bytes / 4);
  }
  if (status.fault == PUMICE_FAULT_NONE) return;
  pumice_write(PUMICE_WALKER_CLEAR_ADDRESS, PUMICE_WALKER_CLEAR_CLEAR_MASK);
  // If it has ended after all, there may already be another command.
  if (!walker_has(PUMICE_WALKER_STATUS_ENDED_MASK)) finish(status);
}

// Runs `n_samples`. Faults: not_loaded, and those of the DMA and the run list.
PUMICE_MUST_USE static pumice_status_t run(uint32_t n_samples) {
  if (!program.loaded) return pumice_fault(PUMICE_FAULT_NOT_LOADED, 0);
  return run_list(&program.run, program.n_layers, n_samples);
}

void pumice_serve(void) {
  const uint32_t command = pumice_read(PUMICE_MAILBOX_COMMAND_ADDRESS);
  const uint32_t more = PUMICE_GET(command, PUMICE_MAILBOX_COMMAND_MORE);
  switch (PUMICE_GET(command, PUMICE_MAILBOX_COMMAND_VALUE)) {
    case PUMICE_COMMAND_NONE:
      return;
    case PUMICE_COMMAND_LOAD:
      finish(load());
      return;
    case PUMICE_COMMAND_RUN:
      if (more == 0 && walker_has(PUMICE_WALKER_STATUS_BEGUN_MASK)) {
        watch();
      } else {
        finish(run(more + 1));
      }
      return;
    default:
      finish(pumice_fault(PUMICE_FAULT_COMMAND, 0));
      return;
  }
}
