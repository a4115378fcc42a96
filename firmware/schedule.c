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
  LAYER_COMMAND_WORDS = PUMICE_COMMAND_N_WORDS + PUMICE_LAYER_N_WORDS,
  TRANSFER_COMMAND_WORDS = PUMICE_COMMAND_N_WORDS + PUMICE_TRANSFER_N_WORDS,
  LOG_ENTRIES = PUMICE_LOG_BYTES / PUMICE_LOG_ENTRY_BYTES,
  LOG_HALF = LOG_ENTRIES / 2,
  LOG_LAG = 8,  // a half is read that many layers behind its last one: the engine holds fewer
};

// The soft core shifts one bit a cycle and multiplies slowly: what follows compares fields in place and adds.
#define IN_PLACE(value, field) PUMICE_SET(value, PUMICE_COMMAND_##field)

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
  uint32_t input_bytes;   // of a sample
  uint32_t output_bytes;  // of a sample
} program;

// The walk of a sample through a list.
static struct {
  uint32_t skip;              // SKIP_ bits of the sample, in the place of COMMAND's field
  uint32_t layers_before;     // that earlier walks count
  uint32_t transfers_before;  // the same, less all that were skipped, and with all of the firmware's own
  uint32_t n_layers;          // of this walk, at its end
  uint32_t n_transfers;       // of this walk so far, skipped ones included
  uint32_t input_offset;      // of the sample's part of the buffer
  uint32_t output_offset;
  uint32_t end_counts;  // of its END
  uint32_t page_ready;  // completed transfers, all told, when the page fetched last is in RAM
  uint32_t log_ready;   // the same for the log entries copied last
} walk;

static inline uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

void pumice_forget(void) { program.loaded = false; }

// A word of the image header, which lies at COMMANDS_OFFSET while an image is being loaded.
#define HEADER(field) pumice_read(PUMICE_COMMANDS_OFFSET + 4 * PUMICE_IMAGE_HEADER_##field##_WORD)

PUMICE_MUST_USE PUMICE_COLD static pumice_status_t check_list(const list_t* list, uint32_t image_bytes) {
  if (list->n_bytes == 0 || ((list->n_bytes | list->offset) & (LIST_ALIGNMENT - 1)) != 0 ||
      list->offset > image_bytes || list->n_bytes > image_bytes - list->offset) {
    return pumice_fault(PUMICE_FAULT_IMAGE, list->offset);
  }
  return pumice_ok();
}

PUMICE_MUST_USE PUMICE_COLD static pumice_status_t fetch_list(const list_t* list) {
  return pumice_dma_copy(0, PUMICE_BUFFER_IMAGE, list->address, list->offset, list->n_bytes);
}

PUMICE_MUST_USE PUMICE_COLD static pumice_status_t clear_counts(void) {
  PUMICE_TRY(pumice_engine_clear());
  return pumice_dma_clear();
}

#define COUNTS(command) pumice_read((command) + 4 * PUMICE_COMMAND_AFTER_LAYERS_WORD)
_Static_assert(PUMICE_COMMAND_AFTER_TRANSFERS_MASK == 0xFFFFu, "wait_transfers looks at the lower half");

// Waits for the transfers of a command, COMMAND's second word: counters have 16 bits, so that the upper half may stay.
PUMICE_MUST_USE static inline pumice_status_t wait_transfers(uint32_t counts) {
  return pumice_dma_wait(walk.transfers_before + counts);
}

// Waits for the layers and transfers of a command.
PUMICE_MUST_USE static pumice_status_t wait_counts(uint32_t counts) {
  PUMICE_TRY(pumice_engine_wait(walk.layers_before + PUMICE_GET(counts, PUMICE_COMMAND_AFTER_LAYERS)));
  return wait_transfers(counts);
}

// Carries out the TRANSFER command at RAM address `command`, or skips it.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t run_transfer(uint32_t command) {
  const uint32_t word = pumice_read(command);
  walk.n_transfers++;
  if ((word & walk.skip) != 0) {
    walk.transfers_before--;
    return pumice_ok();
  }
  PUMICE_TRY(wait_counts(COUNTS(command)));
  const uint32_t payload = command + 4 * PUMICE_COMMAND_N_WORDS;
  const uint32_t head = pumice_read(payload);
  uint32_t moved = 0;
  uint32_t sample_bytes = 0;
  if ((head & PUMICE_TRANSFER_BUFFER_MASK) == PUMICE_SET(PUMICE_BUFFER_INPUT, PUMICE_TRANSFER_BUFFER)) {
    moved = walk.input_offset;
    sample_bytes = program.input_bytes;
  } else if ((head & PUMICE_TRANSFER_BUFFER_MASK) == PUMICE_SET(PUMICE_BUFFER_OUTPUT, PUMICE_TRANSFER_BUFFER)) {
    moved = walk.output_offset;
    sample_bytes = program.output_bytes;
  }
  if ((word & IN_PLACE(PUMICE_SKIP_FIRST, SKIP)) != 0) moved -= sample_bytes;
  if ((word & IN_PLACE(PUMICE_SKIP_LAST, SKIP)) != 0) moved += sample_bytes;
  return pumice_dma_submit(payload, moved);
}

// Queues a transfer between RAM and a buffer behind those of the list, which does not count it; returns by way of `ready`
// how many transfers have completed when it has.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t submit_own(uint32_t write, uint32_t buffer, uint32_t local,
                                                              uint32_t offset, uint32_t n_bytes, uint32_t* ready) {
  walk.transfers_before++;
  *ready = walk.transfers_before + walk.n_transfers;
  return pumice_dma_queue_copy(write, buffer, local, offset, n_bytes);
}

// Queues the fetch of the page that starts at byte `at` of a paged list, if there is one.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t fetch_page(const list_t* list, uint32_t at) {
  if (at >= list->n_bytes) return pumice_ok();
  return submit_own(0, PUMICE_BUFFER_IMAGE, list->address + (at & (RING_BYTES - 1)), list->offset + at,
                    smaller(list->n_bytes - at, PUMICE_PAGE_BYTES), &walk.page_ready);
}

// Waits for the page that starts at byte `at`, then queues the fetch of the next into the place of the one before.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t turn_page(const list_t* list, uint32_t at) {
  PUMICE_TRY(pumice_dma_wait(walk.page_ready));
  return fetch_page(list, at + PUMICE_PAGE_BYTES);
}

// Queues the copy of up to half a log from layer number `first` on, a multiple of LOG_HALF.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t copy_log(uint32_t first, uint32_t n_layers) {
  return submit_own(1, PUMICE_BUFFER_LOG, PUMICE_LOG_OFFSET + first % LOG_ENTRIES * PUMICE_LOG_ENTRY_BYTES,
                    first * PUMICE_LOG_ENTRY_BYTES, smaller(n_layers - first, LOG_HALF) * PUMICE_LOG_ENTRY_BYTES,
                    &walk.log_ready);
}

// Before layer number `n`, a multiple of LOG_HALF plus 0 or LOG_LAG, is submitted: waits for the copy of the half that
// the layer is the first to write to again, or has a half that is complete copied.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t keep_log(uint32_t n) {
  if (n <= LOG_HALF) return pumice_ok();
  if (n % LOG_HALF == 0) return pumice_dma_wait(walk.log_ready);
  return copy_log(n - LOG_LAG - LOG_HALF, n);
}

// Copies the entries of the last walk that `keep_log` has not, once all layers are complete.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t finish_log(void) {
  const uint32_t n = walk.n_layers;
  uint32_t first = n > LOG_HALF + LOG_LAG ? (n - LOG_LAG - 1) & ~(LOG_HALF - 1u) : 0;
  if (first >= n) return pumice_ok();
  for (; first < n; first += LOG_HALF) PUMICE_TRY(copy_log(first, n));
  return pumice_dma_wait(walk.log_ready);
}

// Walks a list to its END, for which it does not wait; the layers' log entries are kept if `logs`, but for those that
// `finish_log` copies.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t walk_list(const list_t* list, bool logs) {
  const uint32_t address = list->address;
  uint32_t ring_mask = UINT32_MAX;
  uint32_t page_end = list->n_bytes;
  if (list->paged) {
    ring_mask = RING_BYTES - 1;
    page_end = 0;
    PUMICE_TRY(fetch_page(list, 0));
  }
  uint32_t at = 0;
  uint32_t n_layers = 0;
  uint32_t log_due = logs ? LOG_HALF : UINT32_MAX;  // layers at which `keep_log` has something to do
  for (;;) {
    if (at >= page_end) {
      if (at >= list->n_bytes) break;
      PUMICE_TRY(turn_page(list, at));
      page_end = smaller(at + PUMICE_PAGE_BYTES, list->n_bytes);
    }
    const uint32_t left = page_end - at;
    const uint32_t command = address + (at & ring_mask);
    const uint32_t word = pumice_read(command + 4 * PUMICE_COMMAND_OP_WORD);
    const uint32_t op = word & PUMICE_COMMAND_OP_MASK;
    const uint32_t length = word & PUMICE_COMMAND_N_WORDS_MASK;
    if (op == PUMICE_OP_LAYER) {
      if (length != IN_PLACE(LAYER_COMMAND_WORDS, N_WORDS) || left < 4 * LAYER_COMMAND_WORDS) break;
      PUMICE_TRY(wait_transfers(COUNTS(command)));
      if (n_layers == log_due) {
        PUMICE_TRY(keep_log(n_layers));
        log_due += n_layers % LOG_HALF == 0 ? LOG_LAG : LOG_HALF - LOG_LAG;
      }
      PUMICE_TRY(pumice_engine_submit(command + 4 * PUMICE_COMMAND_N_WORDS));
      n_layers++;
      at += 4 * LAYER_COMMAND_WORDS;
    } else if (op == PUMICE_OP_TRANSFER) {
      if (length != IN_PLACE(TRANSFER_COMMAND_WORDS, N_WORDS) || left < 4 * TRANSFER_COMMAND_WORDS) break;
      PUMICE_TRY(run_transfer(command));
      at += 4 * TRANSFER_COMMAND_WORDS;
    } else {
      const uint32_t rest = word & ~PUMICE_COMMAND_OP_MASK;
      if (op > PUMICE_OP_NEXT_PAGE || rest != IN_PLACE(PUMICE_COMMAND_N_WORDS, N_WORDS)) break;
      if (left < 4 * PUMICE_COMMAND_N_WORDS) break;
      if (op == PUMICE_OP_END) {
        walk.n_layers = n_layers;
        walk.end_counts = COUNTS(command);
        return pumice_ok();
      }
      at = (at | (PUMICE_PAGE_BYTES - 1)) + 1;
    }
  }
  return pumice_fault(PUMICE_FAULT_COMMAND, at / 4);
}

// Walks a list once for the first sample and once for each of `more` others (in the place of the mailbox's field);
// everything has completed at the end, and the log of the last walk is in its buffer if `logs`. Faults: command (detail:
// the word offset of the malformed command), those of the DMA.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t run_list(const list_t* list, uint32_t more, bool logs) {
  PUMICE_TRY(clear_counts());
  walk.layers_before = walk.transfers_before = walk.input_offset = walk.output_offset = 0;
  walk.skip = IN_PLACE(PUMICE_SKIP_FIRST, SKIP);
  for (;;) {
    walk.skip |= more == 0 ? IN_PLACE(PUMICE_SKIP_LAST, SKIP) : IN_PLACE(PUMICE_SKIP_BUT_LAST, SKIP);
    walk.n_transfers = 0;
    PUMICE_TRY(walk_list(list, logs && more == 0));
    if (more == 0) break;
    more -= PUMICE_SET(1, PUMICE_MAILBOX_COMMAND_MORE);
    walk.skip = IN_PLACE(PUMICE_SKIP_BUT_FIRST, SKIP);
    walk.layers_before += walk.n_layers;
    walk.transfers_before += walk.n_transfers;
    walk.input_offset += program.input_bytes;
    walk.output_offset += program.output_bytes;
  }
  PUMICE_TRY(wait_counts(walk.end_counts));
  return logs ? finish_log() : pumice_ok();
}

// Faults: image (detail: the offset of what is wrong), config, command, and those of the DMA and the load list.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t load(void) {
  pumice_forget();
  PUMICE_TRY(clear_counts());
  PUMICE_TRY(pumice_dma_copy(0, PUMICE_BUFFER_IMAGE, PUMICE_COMMANDS_OFFSET, 0, HEADER_BYTES));
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
  program.input_bytes = HEADER(INPUT_BYTES);
  program.output_bytes = HEADER(OUTPUT_BYTES);
  PUMICE_TRY(check_list(&run, n_bytes));
  PUMICE_TRY(check_list(&load, n_bytes));
  const uint32_t room = PUMICE_RAM_BYTES - PUMICE_COMMANDS_OFFSET;
  if (run.n_bytes > room || load.n_bytes > room - run.n_bytes) {
    run.paged = load.paged = true;
  } else {
    load.address += run.n_bytes;
    PUMICE_TRY(fetch_list(&run));
    PUMICE_TRY(fetch_list(&load));
  }
  PUMICE_TRY(run_list(&load, 0, false));
  program.run = run;
  program.loaded = true;
  return pumice_ok();
}

// Faults: not_loaded, and those of the DMA and the run list.
PUMICE_MUST_USE static pumice_status_t run(uint32_t more) {
  if (!program.loaded) return pumice_fault(PUMICE_FAULT_NOT_LOADED, 0);
  return run_list(&program.run, more, pumice_read(PUMICE_MAILBOX_LOG_BYTES_ADDRESS) != 0);
}

void pumice_serve(void) {
  const uint32_t command = pumice_read(PUMICE_MAILBOX_COMMAND_ADDRESS);
  switch (PUMICE_GET(command, PUMICE_MAILBOX_COMMAND_VALUE)) {
    case PUMICE_COMMAND_NONE:
      return;
    case PUMICE_COMMAND_LOAD:
      pumice_finish(load());
      return;
    case PUMICE_COMMAND_RUN:
      pumice_finish(run(command & PUMICE_MAILBOX_COMMAND_MORE_MASK));
      return;
    default:
      pumice_finish(pumice_fault(PUMICE_FAULT_COMMAND, 0));
      return;
  }
}
