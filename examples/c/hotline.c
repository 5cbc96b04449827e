/* A driver for the Hotline accelerator, written from docs/registers.md and docs/descriptors.md alone. It opens the
 * rings, lets the tracker learn, chooses the hot rows, splits a mini-batch and gathers its cold rows. C99. The one
 * header is generated: hotline registers --format c > hotline_regs.h. examples/c/run.py runs it on a simulated
 * accelerator. */
#include <stddef.h>
#include <stdint.h>

#include "hotline_regs.h"

/* What the platform provides: a kernel module, bare metal, or a process that maps the BAR. */
struct platform {
    uint32_t (*read)(uint32_t offset);              /* a register; offsets are those of s_axil */
    void (*write)(uint32_t offset, uint32_t value); /* all stores to memory before it are visible to the device */
    void *(*allocate)(size_t bytes, uint64_t *address); /* zeroed pages; `address` is what the device puts on m_axi */
    int (*wait_irq)(void);                          /* sleeps until irq is high; 0 if it gave up */
};

#define GET(value, field) (((value) & field##_MASK) >> field##_SHIFT)
#define CHECK(condition) do { if (!(condition)) return "failed: " #condition; } while (0)

enum { LOG2_ENTRIES = 3, ENTRIES = 1 << LOG2_ENTRIES, TABLES = 2, ROWS = 8, ROW_WORDS = 16, ROW_BYTES = 64 };
/* Where things are in the memory that host and device share. Buffers begin at multiples of 64. */
enum { RING = 0, CPL = 0x200, LOOKUPS = 0x400, POPULAR = 0x800, NONPOPULAR = 0xC00, SUMMARY = 0x1000,
       GATHERED = 0x2000, EVENTS = 0x3000 };

static const struct platform *on;
static uint8_t *shared;    /* host's pointer to that memory, */
static uint64_t shared_at; /* and the device's address of it */
static uint16_t producer, consumer;

static void write_address(uint32_t low_register, uint64_t address) {
    on->write(low_register, (uint32_t)address);
    on->write(low_register + 4, (uint32_t)(address >> 32));
}

/* Memory that the device may touch: whole pages of 4 KiB. It can reach nothing else. */
static void expose(uint32_t window, uint64_t address, size_t bytes, uint32_t rights) {
    uint32_t at = HOTLINE_WINDOW_0_LO + window * (HOTLINE_WINDOW_1_LO - HOTLINE_WINDOW_0_LO);
    write_address(at, address);
    on->write(at + 8, (uint32_t)((bytes + 4095) / 4096));
    on->write(at + 12, rights);
}

static const char *open_device(size_t bytes) {
    CHECK(on->read(HOTLINE_ID) == HOTLINE_ID_VALUE);
    CHECK(GET(on->read(HOTLINE_INTERFACE), HOTLINE_INTERFACE_MAJOR) ==
          GET(HOTLINE_INTERFACE_RESET, HOTLINE_INTERFACE_MAJOR)); /* what this header was generated for */
    on->write(HOTLINE_SCRATCH, 0x12345678u);
    CHECK(on->read(HOTLINE_SCRATCH) == 0x12345678u);
    while (GET(on->read(HOTLINE_STATUS), HOTLINE_STATUS_BUSY)) {} /* the tracker is cleared after reset */
    on->write(HOTLINE_DMA_CONTROL, 0);                            /* the rings' places are set while they stand */
    while (GET(on->read(HOTLINE_DMA_STATUS), HOTLINE_DMA_STATUS_RUNNING)) {}
    expose(0, shared_at, bytes, HOTLINE_WINDOW_0_CONTROL_READ_MASK | HOTLINE_WINDOW_0_CONTROL_WRITE_MASK);
    write_address(HOTLINE_RING_LO, shared_at + RING);
    write_address(HOTLINE_CPL_LO, shared_at + CPL);
    on->write(HOTLINE_RING_SIZE, LOG2_ENTRIES);
    on->write(HOTLINE_DMA_ERROR, ~0u);
    on->write(HOTLINE_DMA_IRQ_STATUS, ~0u);
    on->write(HOTLINE_DMA_IRQ_ENABLE, HOTLINE_DMA_IRQ_ENABLE_COMPLETION_MASK | HOTLINE_DMA_IRQ_ENABLE_ERROR_MASK);
    on->write(HOTLINE_DMA_CONTROL, HOTLINE_DMA_CONTROL_ENABLE_MASK);
    producer = consumer = 0; /* as the device's are, once it is enabled */
    return NULL;
}

/* Runs one descriptor and waits for its completion. Several may be in the ring: then one doorbell is for all. */
static const char *run(struct hotline_descriptor descriptor, struct hotline_completion *done) {
    descriptor.flags |= HOTLINE_FLAG_INTERRUPT;
    descriptor.tag = producer;
    ((struct hotline_descriptor *)(shared + RING))[producer % ENTRIES] = descriptor;
    on->write(HOTLINE_RING_PRODUCER, ++producer);
    while ((uint16_t)on->read(HOTLINE_CPL_PRODUCER) == consumer) {
        CHECK(on->wait_irq());
        on->write(HOTLINE_DMA_IRQ_STATUS, HOTLINE_DMA_IRQ_STATUS_COMPLETION_MASK); /* clear, and only then look */
        CHECK(on->read(HOTLINE_DMA_ERROR) == 0);
    }
    *done = ((struct hotline_completion *)(shared + CPL))[consumer % ENTRIES];
    on->write(HOTLINE_CPL_CONSUMER, ++consumer);
    CHECK(done->tag == descriptor.tag && done->opcode == descriptor.opcode);
    CHECK(done->status == HOTLINE_COMPLETION_STATUS_OK);
    return NULL;
}

/* A mini-batch: each sample has one row of each table. */
static struct hotline_descriptor mini_batch(uint8_t opcode, uint32_t rows[][TABLES], uint32_t samples) {
    struct hotline_descriptor descriptor = {0};
    for (uint32_t i = 0; i < samples * TABLES; ++i) ((uint32_t *)(shared + LOOKUPS))[i] = rows[i / TABLES][i % TABLES];
    descriptor.opcode = opcode;
    descriptor.source = shared_at + LOOKUPS;
    descriptor.count = samples * TABLES;
    descriptor.operand = TABLES;
    descriptor.targets[0] = shared_at + POPULAR;
    descriptor.targets[1] = shared_at + NONPOPULAR;
    descriptor.targets[2] = shared_at + SUMMARY;
    return descriptor;
}

static uint32_t content(uint32_t table, uint32_t row, uint32_t word) { return table << 16 | row << 8 | word; }

/* The embedding tables, which the device may only read: row r of table t is at its address + r * ROW_BYTES. */
static void set_tables(void) {
    uint64_t address;
    uint32_t *words = on->allocate(TABLES * ROWS * ROW_BYTES, &address);
    for (uint32_t i = 0; i < TABLES * ROWS * ROW_WORDS; ++i)
        words[i] = content(i / (ROWS * ROW_WORDS), i / ROW_WORDS % ROWS, i % ROW_WORDS);
    expose(1, address, TABLES * ROWS * ROW_BYTES, HOTLINE_WINDOW_1_CONTROL_READ_MASK);
    for (uint32_t table = 0; table < TABLES; ++table) {
        on->write(HOTLINE_TABLE_INDEX, table);
        write_address(HOTLINE_TABLE_LO, address + table * ROWS * ROW_BYTES);
        on->write(HOTLINE_TABLE_ROWS, ROWS);
        on->write(HOTLINE_TABLE_STRIDE, ROW_BYTES / HOTLINE_GRANULE_BYTES); /* sets the table up */
    }
}

/* Returns NULL if all is right, else what is not. */
const char *hotline_example(const struct platform *platform) {
    uint32_t learned[3][TABLES] = {{0, 0}, {0, 1}, {1, 0}}, coming[4][TABLES] = {{0, 0}, {1, 5}, {5, 5}, {1, 1}};
    struct hotline_descriptor descriptor;
    struct hotline_completion done;
    const char *wrong;
    uint32_t slots = 0, first[HOTLINE_SUMMARY_LISTS] = {0};
    size_t bytes;

    on = platform;
    bytes = EVENTS + (GET(on->read(HOTLINE_CAP_POLICY), HOTLINE_CAP_POLICY_MAX_MOVES) + 1) * HOTLINE_EVENT_BYTES;
    shared = on->allocate(bytes, &shared_at);
    if ((wrong = open_device(bytes))) return wrong;
    set_tables();

    /* Four rows are seen, and SELECT makes them hot. */
    if ((wrong = run(mini_batch(HOTLINE_OPCODE_LEARN, learned, 3), &done))) return wrong;
    descriptor = (struct hotline_descriptor){.opcode = HOTLINE_OPCODE_SELECT, .targets = {shared_at + EVENTS}};
    if ((wrong = run(descriptor, &done))) return wrong;
    CHECK(done.listed == 5 && on->read(HOTLINE_HOT_COUNT) == 4); /* four events, and the closing one */
    const uint64_t *event = (const uint64_t *)(shared + EVENTS);
    for (uint32_t i = 0; i + 1 < done.listed; ++i) slots |= 1u << GET(event[2 * i], HOTLINE_EVENT_SLOT);
    CHECK(slots == 0xF); /* slots are dense */

    /* Samples 0 and 3 have hot rows alone. The others need rows 5 of both tables too. */
    if ((wrong = run(mini_batch(HOTLINE_OPCODE_CLASSIFY, coming, 4), &done))) return wrong;
    CHECK(done.samples == 4 && done.popular_samples == 2 && done.listed == 2 && done.held == 0);
    CHECK(done.popular_words == 4 && done.nonpopular_words == 4);
    const uint32_t *summary = (const uint32_t *)(shared + SUMMARY);
    CHECK((summary[HOTLINE_SUMMARY_LISTS] & 0xF) == 0x9); /* a bit a sample: popular */
    for (uint32_t i = 0; i < done.popular_words; ++i) {
        uint32_t word = ((const uint32_t *)(shared + POPULAR))[i];
        CHECK(GET(word, HOTLINE_RESULT_HIT) && GET(word, HOTLINE_RESULT_VALUE) < 4);
        CHECK(GET(word, HOTLINE_RESULT_LAST) == i % TABLES);
    }

    /* The cold rows come end to end, list by list. A place names a list and a number in it. */
    for (uint32_t list = 1; list < HOTLINE_SUMMARY_LISTS; ++list) first[list] = first[list - 1] + summary[list - 1];
    descriptor = (struct hotline_descriptor){.opcode = HOTLINE_OPCODE_GATHER, .operand = ROW_BYTES,
                                             .targets = {shared_at + GATHERED}};
    if ((wrong = run(descriptor, &done))) return wrong;
    CHECK(done.listed == 2);
    for (uint32_t i = 0, misses = 0; i < 4; ++i) {
        uint32_t value = ((const uint32_t *)(shared + NONPOPULAR))[i];
        if (GET(value, HOTLINE_RESULT_HIT)) continue; /* lookup 0: row 1 of table 0 */
        CHECK(++misses == i);
        value = GET(value, HOTLINE_RESULT_VALUE);
        uint32_t row = first[value >> HOTLINE_PLACE_BANK_SHIFT] + GET(value, HOTLINE_PLACE_NUMBER);
        for (uint32_t word = 0; word < ROW_WORDS; ++word)
            CHECK(((const uint32_t *)(shared + GATHERED))[row * ROW_WORDS + word] == content(i % TABLES, 5, word));
    }
    on->write(HOTLINE_DMA_CONTROL, 0);
    return NULL;
}
