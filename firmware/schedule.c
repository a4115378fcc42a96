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
  COMMAND_BYTES = 4 * PUMICE_COMMAND_N_WORDS,
  LAYER_BYTES = COMMAND_BYTES + 4 * PUMICE_LAYER_N_WORDS,
  TRANSFER_BYTES = COMMAND_BYTES + 4 * PUMICE_TRANSFER_N_WORDS,
  LOG_ENTRIES = PUMICE_LOG_BYTES / PUMICE_LOG_ENTRY_BYTES,
  LOG_HALF = LOG_ENTRIES / 2,
  // A half is read once its last layer has certainly completed: the engine holds two at most.
  LOG_LAG = 8,
};

// First word of a command: every operation has one length.
#define HEAD_MASK (PUMICE_COMMAND_OP_MASK | PUMICE_COMMAND_N_WORDS_MASK)
#define HEAD(op, n_bytes) (PUMICE_SET(op, PUMICE_COMMAND_OP) | PUMICE_SET((n_bytes) / 4, PUMICE_COMMAND_N_WORDS))

// A command list: where it lies in the image and in RAM. All of it is in RAM when it fits (`paged` is false); else the
// two pages at `address` take turns.
typedef struct {
  uint32_t offset;
  uint32_t n_bytes;
  uint32_t address;
  bool paged;
} list_t;

// Transfers of the firmware's own among those of the running list, which the list does not count.
static struct {
  uint32_t n_transfers;  // of the list, submitted
  uint32_t n_own;        // submitted
  uint32_t page_ready;   // completed transfers, all told, when the page fetched last is in RAM
  uint32_t log_ready;    // the same for the log entries copied last
} traffic;

static struct {
  bool loaded;
  list_t run;
} program;

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

PUMICE_MUST_USE PUMICE_SHARED static pumice_status_t clear_counts(void) {
  PUMICE_TRY(pumice_engine_clear());
  return pumice_dma_clear();
}

// Queues a transfer between RAM and a buffer behind those of the list; sets `ready`.
PUMICE_MUST_USE PUMICE_SHARED static pumice_status_t submit_own(uint32_t write, uint32_t buffer, uint32_t local,
                                                                uint32_t offset, uint32_t n_bytes, uint32_t* ready) {
  *ready = traffic.n_transfers + ++traffic.n_own;
  return pumice_dma_queue_copy(write, buffer, local, offset, n_bytes);
}

// Queues the fetch of the page that starts at byte `at` of a paged list, if there is one.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t fetch_page(const list_t* list, uint32_t at) {
  if (at >= list->n_bytes) return pumice_ok();
  return submit_own(0, PUMICE_BUFFER_IMAGE, list->address + at % RING_BYTES, list->offset + at,
                    smaller(list->n_bytes - at, PUMICE_PAGE_BYTES), &traffic.page_ready);
}

// Queues the copy of up to half a log from layer number `first` on, a multiple of LOG_HALF.
PUMICE_MUST_USE PUMICE_SHARED static pumice_status_t copy_log(uint32_t first, uint32_t n_layers) {
  return submit_own(1, PUMICE_BUFFER_LOG, PUMICE_LOG_OFFSET + first % LOG_ENTRIES * PUMICE_LOG_ENTRY_BYTES,
                    first * PUMICE_LOG_ENTRY_BYTES, smaller(n_layers - first, LOG_HALF) * PUMICE_LOG_ENTRY_BYTES,
                    &traffic.log_ready);
}

// Before layer number `n`, a multiple of LOG_HALF plus 0 or LOG_LAG, is submitted: waits for the copy of the half that
// the layer is the first to write to again, or has a half that is complete copied.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t keep_log(uint32_t n) {
  if (n <= LOG_HALF) return pumice_ok();
  if (n % LOG_HALF == 0) return pumice_dma_wait(traffic.log_ready);
  return copy_log(n - LOG_LAG - LOG_HALF, n);
}

// Copies the entries that `keep_log` has not, once all layers are complete.
PUMICE_MUST_USE PUMICE_SHARED static pumice_status_t finish_log(uint32_t n_layers) {
  uint32_t first = n_layers > LOG_HALF + LOG_LAG ? (n_layers - LOG_LAG - 1) & ~(LOG_HALF - 1u) : 0;
  for (; first < n_layers; first += LOG_HALF) PUMICE_TRY(copy_log(first, n_layers));
  return pumice_dma_wait(traffic.n_transfers + traffic.n_own);
}

// Walks a list to its end; its layers' log entries are kept if `logs`. Faults: command (detail: the word offset of the
// malformed command), those of the DMA.
PUMICE_MUST_USE PUMICE_SHARED static pumice_status_t run_list(const list_t* list, bool logs) {
  PUMICE_TRY(clear_counts());
  traffic.n_transfers = traffic.n_own = 0;
  // What the loop needs stays in registers of the core: its RAM takes several cycles.
  uint32_t page_end = list->n_bytes;
  uint32_t ring_mask = UINT32_MAX;
  if (list->paged) {
    page_end = 0;
    ring_mask = RING_BYTES - 1;
    PUMICE_TRY(fetch_page(list, 0));
  }
  const uint32_t address = list->address;
  uint32_t at = 0;
  uint32_t n_layers = 0;
  uint32_t log_due = logs ? LOG_HALF : UINT32_MAX;  // layers at which `keep_log` has something to do
  uint32_t layers_done = 0;                         // at least
  uint32_t transfers_done = 0;
  for (;;) {
    if (at >= page_end) {
      if (at >= list->n_bytes) break;
      PUMICE_TRY(pumice_dma_wait(traffic.page_ready));
      page_end = smaller(at + PUMICE_PAGE_BYTES, list->n_bytes);
      PUMICE_TRY(fetch_page(list, at + PUMICE_PAGE_BYTES));
    }
    const uint32_t command = address + (at & ring_mask);
    const uint32_t payload = command + COMMAND_BYTES;
    const uint32_t head = pumice_read(command) & HEAD_MASK;
    const bool is_layer = head == HEAD(PUMICE_OP_LAYER, LAYER_BYTES);
    const bool is_transfer = head == HEAD(PUMICE_OP_TRANSFER, TRANSFER_BYTES);
    const bool is_end = head == HEAD(PUMICE_OP_END, COMMAND_BYTES);
    if (head == HEAD(PUMICE_OP_SKIP, COMMAND_BYTES)) {
      at = (at | (PUMICE_PAGE_BYTES - 1)) + 1;
      continue;
    }
    const uint32_t n_bytes = is_layer ? LAYER_BYTES : is_transfer ? TRANSFER_BYTES : COMMAND_BYTES;
    if ((!is_layer && !is_transfer && !is_end) || n_bytes > page_end - at) break;

    const uint32_t counts = pumice_read(command + 4 * PUMICE_COMMAND_AFTER_LAYERS_WORD);
    const uint32_t after_layers = PUMICE_GET(counts, PUMICE_COMMAND_AFTER_LAYERS);
    const uint32_t after_transfers = PUMICE_GET(counts, PUMICE_COMMAND_AFTER_TRANSFERS);
    if (after_layers > layers_done) {
      PUMICE_TRY(pumice_engine_wait(after_layers));
      layers_done = after_layers;
    }
    if (after_transfers > transfers_done) {
      PUMICE_TRY(pumice_dma_wait(after_transfers + traffic.n_own));
      transfers_done = after_transfers;
    }
    if (is_end) return logs ? finish_log(n_layers) : pumice_ok();
    if (is_layer) {
      if (n_layers == log_due) {
        PUMICE_TRY(keep_log(n_layers));
        log_due += n_layers % LOG_HALF == 0 ? LOG_LAG : LOG_HALF - LOG_LAG;
      }
      PUMICE_TRY(pumice_engine_submit(payload));
      n_layers++;
    } else {
      PUMICE_TRY(pumice_dma_submit(payload));
      traffic.n_transfers++;
    }
    at += n_bytes;
  }
  return pumice_fault(PUMICE_FAULT_COMMAND, at / 4);
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
  PUMICE_TRY(run_list(&load, false));
  program.run = run;
  program.loaded = true;
  return pumice_ok();
}

// Faults: not_loaded, and those of the DMA and the run list.
PUMICE_MUST_USE static pumice_status_t run(void) {
  if (!program.loaded) return pumice_fault(PUMICE_FAULT_NOT_LOADED, 0);
  return run_list(&program.run, pumice_read(PUMICE_MAILBOX_LOG_BYTES_ADDRESS) != 0);
}

void pumice_serve(void) {
  switch (pumice_read(PUMICE_MAILBOX_COMMAND_ADDRESS)) {
    case PUMICE_COMMAND_NONE:
      return;
    case PUMICE_COMMAND_LOAD:
      pumice_finish(load());
      return;
    case PUMICE_COMMAND_RUN:
      pumice_finish(run());
      return;
    default:
      pumice_finish(pumice_fault(PUMICE_FAULT_COMMAND, 0));
      return;
  }
}
