/* Hotline registers. Generated; do not edit. */
#ifndef HOTLINE_REGS_H
#define HOTLINE_REGS_H

#define HOTLINE_ID 0x000u /* Identifies the core. */
#define HOTLINE_ID_ID_SHIFT 0u
#define HOTLINE_ID_ID_MASK 0xFFFFFFFFu
#define HOTLINE_VERSION 0x004u /* Version of the core. */
#define HOTLINE_VERSION_PATCH_SHIFT 0u
#define HOTLINE_VERSION_PATCH_MASK 0x000000FFu
#define HOTLINE_VERSION_MINOR_SHIFT 8u
#define HOTLINE_VERSION_MINOR_MASK 0x0000FF00u
#define HOTLINE_VERSION_MAJOR_SHIFT 16u
#define HOTLINE_VERSION_MAJOR_MASK 0x00FF0000u
#define HOTLINE_CAP_STREAM 0x008u /* Capability: stream geometry. */
#define HOTLINE_CAP_STREAM_LANES_SHIFT 0u
#define HOTLINE_CAP_STREAM_LANES_MASK 0x000000FFu
#define HOTLINE_CAP_STREAM_BANK_PORTS_SHIFT 8u
#define HOTLINE_CAP_STREAM_BANK_PORTS_MASK 0x0000FF00u
#define HOTLINE_CAP_STREAM_QUEUE_DEPTH_SHIFT 16u
#define HOTLINE_CAP_STREAM_QUEUE_DEPTH_MASK 0xFFFF0000u
#define HOTLINE_CAP_TRACKER 0x00Cu /* Capability: tracker geometry. */
#define HOTLINE_CAP_TRACKER_LOG2_BANKS_SHIFT 0u
#define HOTLINE_CAP_TRACKER_LOG2_BANKS_MASK 0x000000FFu
#define HOTLINE_CAP_TRACKER_LOG2_SETS_SHIFT 8u
#define HOTLINE_CAP_TRACKER_LOG2_SETS_MASK 0x0000FF00u
#define HOTLINE_CAP_TRACKER_WAYS_SHIFT 16u
#define HOTLINE_CAP_TRACKER_WAYS_MASK 0x00FF0000u
#define HOTLINE_CAP_KEY 0x010u /* Capability: key geometry. */
#define HOTLINE_CAP_KEY_TABLE_BITS_SHIFT 0u
#define HOTLINE_CAP_KEY_TABLE_BITS_MASK 0x000000FFu
#define HOTLINE_CAP_KEY_ROW_BITS_SHIFT 8u
#define HOTLINE_CAP_KEY_ROW_BITS_MASK 0x0000FF00u
#define HOTLINE_CAP_KEY_MAX_LOOKUPS_SHIFT 16u
#define HOTLINE_CAP_KEY_MAX_LOOKUPS_MASK 0xFFFF0000u
#define HOTLINE_CAP_SAMPLES 0x014u /* Capability: most samples in one mini-batch. */
#define HOTLINE_CAP_SAMPLES_MAX_SAMPLES_SHIFT 0u
#define HOTLINE_CAP_SAMPLES_MAX_SAMPLES_MASK 0xFFFFFFFFu
#define HOTLINE_CAP_BEATS 0x018u /* Capability: beats in flight. */
#define HOTLINE_CAP_BEATS_BEAT_DEPTH_SHIFT 0u
#define HOTLINE_CAP_BEATS_BEAT_DEPTH_MASK 0x0000FFFFu
#define HOTLINE_CAP_POLICY 0x01Cu /* Capability: how popularity is tracked. */
#define HOTLINE_CAP_POLICY_ENTRIES_PER_HOT_ROW_SHIFT 0u
#define HOTLINE_CAP_POLICY_ENTRIES_PER_HOT_ROW_MASK 0x000000FFu
#define HOTLINE_CAP_POLICY_COUNTER_BITS_SHIFT 8u
#define HOTLINE_CAP_POLICY_COUNTER_BITS_MASK 0x0000FF00u
#define HOTLINE_CAP_POLICY_MAX_MOVES_SHIFT 16u
#define HOTLINE_CAP_POLICY_MAX_MOVES_MASK 0xFFFF0000u
#define HOTLINE_CONTROL 0x040u /* Control. */
#define HOTLINE_CONTROL_PHASE_SHIFT 0u
#define HOTLINE_CONTROL_PHASE_MASK 0x00000003u
#define HOTLINE_STATUS 0x044u /* Status. */
#define HOTLINE_STATUS_BUSY_SHIFT 0u
#define HOTLINE_STATUS_BUSY_MASK 0x00000001u
#define HOTLINE_STATUS_COMMAND_SHIFT 1u
#define HOTLINE_STATUS_COMMAND_MASK 0x00000002u
#define HOTLINE_STATUS_PHASE_SHIFT 2u
#define HOTLINE_STATUS_PHASE_MASK 0x0000000Cu
#define HOTLINE_HOT_ROWS 0x048u /* Budget: the most rows that may be hot, 0 to entries / entries_per_hot_row. A write clears the tracker. */
#define HOTLINE_HOT_ROWS_HOT_ROWS_SHIFT 0u
#define HOTLINE_HOT_ROWS_HOT_ROWS_MASK 0xFFFFFFFFu
#define HOTLINE_INDEX_BITS 0x04Cu /* log2 of the sets in use, all banks together. */
#define HOTLINE_INDEX_BITS_INDEX_BITS_SHIFT 0u
#define HOTLINE_INDEX_BITS_INDEX_BITS_MASK 0x000000FFu
#define HOTLINE_COMMAND 0x050u /* Starts a command. */
#define HOTLINE_COMMAND_CODE_SHIFT 0u
#define HOTLINE_COMMAND_CODE_MASK 0x000000FFu
#define HOTLINE_ERROR 0x054u /* Errors since the bits were last cleared. */
#define HOTLINE_ERROR_INDEX_RANGE_SHIFT 0u
#define HOTLINE_ERROR_INDEX_RANGE_MASK 0x00000001u
#define HOTLINE_ERROR_SAMPLE_TOO_LONG_SHIFT 1u
#define HOTLINE_ERROR_SAMPLE_TOO_LONG_MASK 0x00000002u
#define HOTLINE_ERROR_SAMPLE_OPEN_SHIFT 2u
#define HOTLINE_ERROR_SAMPLE_OPEN_MASK 0x00000004u
#define HOTLINE_ERROR_BATCH_TOO_LONG_SHIFT 3u
#define HOTLINE_ERROR_BATCH_TOO_LONG_MASK 0x00000008u
#define HOTLINE_ERROR_COMMAND_BUSY_SHIFT 4u
#define HOTLINE_ERROR_COMMAND_BUSY_MASK 0x00000010u
#define HOTLINE_ERROR_COMMAND_CODE_SHIFT 5u
#define HOTLINE_ERROR_COMMAND_CODE_MASK 0x00000020u
#define HOTLINE_ERROR_HOT_ROWS_RANGE_SHIFT 6u
#define HOTLINE_ERROR_HOT_ROWS_RANGE_MASK 0x00000040u
#define HOTLINE_ERROR_RESTORE_LENGTH_SHIFT 7u
#define HOTLINE_ERROR_RESTORE_LENGTH_MASK 0x00000080u
#define HOTLINE_ERROR_RESTORE_ENTRY_SHIFT 8u
#define HOTLINE_ERROR_RESTORE_ENTRY_MASK 0x00000100u
#define HOTLINE_ERROR_EMPTY_BATCH_SHIFT 9u
#define HOTLINE_ERROR_EMPTY_BATCH_MASK 0x00000200u
#define HOTLINE_ERROR_PHASE_SHIFT 10u
#define HOTLINE_ERROR_PHASE_MASK 0x00000400u
#define HOTLINE_IRQ_STATUS 0x058u /* Interrupt causes. */
#define HOTLINE_IRQ_STATUS_BATCH_DONE_SHIFT 0u
#define HOTLINE_IRQ_STATUS_BATCH_DONE_MASK 0x00000001u
#define HOTLINE_IRQ_STATUS_COMMAND_DONE_SHIFT 1u
#define HOTLINE_IRQ_STATUS_COMMAND_DONE_MASK 0x00000002u
#define HOTLINE_IRQ_STATUS_ERROR_SHIFT 2u
#define HOTLINE_IRQ_STATUS_ERROR_MASK 0x00000004u
#define HOTLINE_IRQ_ENABLE 0x05Cu /* Interrupt causes that drive irq. */
#define HOTLINE_IRQ_ENABLE_BATCH_DONE_SHIFT 0u
#define HOTLINE_IRQ_ENABLE_BATCH_DONE_MASK 0x00000001u
#define HOTLINE_IRQ_ENABLE_COMMAND_DONE_SHIFT 1u
#define HOTLINE_IRQ_ENABLE_COMMAND_DONE_MASK 0x00000002u
#define HOTLINE_IRQ_ENABLE_ERROR_SHIFT 2u
#define HOTLINE_IRQ_ENABLE_ERROR_MASK 0x00000004u
#define HOTLINE_AGE_PERIOD 0x060u /* Aging: after so many lookups of keys without an entry a set's counters shrink. */
#define HOTLINE_AGE_PERIOD_LOOKUPS_SHIFT 0u
#define HOTLINE_AGE_PERIOD_LOOKUPS_MASK 0x000000FFu
#define HOTLINE_HYSTERESIS 0x064u /* How far a hot row may fall behind before it can be made cold. */
#define HOTLINE_HYSTERESIS_SHIFT_SHIFT 0u
#define HOTLINE_HYSTERESIS_SHIFT_MASK 0x0000000Fu
#define HOTLINE_MOVE_LIMIT 0x068u /* Bound on the rows that one SELECT makes hot; max_moves bounds them too. */
#define HOTLINE_MOVE_LIMIT_ROWS_SHIFT 0u
#define HOTLINE_MOVE_LIMIT_ROWS_MASK 0xFFFFFFFFu
#define HOTLINE_SELECT_START 0x06Cu /* Where in every bank SELECT begins to look for rows to move. */
#define HOTLINE_SELECT_START_SET_SHIFT 0u
#define HOTLINE_SELECT_START_SET_MASK 0xFFFFFFFFu
#define HOTLINE_WEIGHTS_0 0x070u /* Update weights: what a lookup adds to its row's counter, by its sample's other misses. */
#define HOTLINE_WEIGHTS_0_WEIGHT_0_SHIFT 0u
#define HOTLINE_WEIGHTS_0_WEIGHT_0_MASK 0x0000001Fu
#define HOTLINE_WEIGHTS_0_WEIGHT_1_SHIFT 8u
#define HOTLINE_WEIGHTS_0_WEIGHT_1_MASK 0x00001F00u
#define HOTLINE_WEIGHTS_0_WEIGHT_2_SHIFT 16u
#define HOTLINE_WEIGHTS_0_WEIGHT_2_MASK 0x001F0000u
#define HOTLINE_WEIGHTS_0_WEIGHT_3_SHIFT 24u
#define HOTLINE_WEIGHTS_0_WEIGHT_3_MASK 0x1F000000u
#define HOTLINE_WEIGHTS_1 0x074u /* Update weights: what a lookup adds to its row's counter, by its sample's other misses. */
#define HOTLINE_WEIGHTS_1_WEIGHT_4_SHIFT 0u
#define HOTLINE_WEIGHTS_1_WEIGHT_4_MASK 0x0000001Fu
#define HOTLINE_WEIGHTS_1_WEIGHT_5_SHIFT 8u
#define HOTLINE_WEIGHTS_1_WEIGHT_5_MASK 0x00001F00u
#define HOTLINE_WEIGHTS_1_WEIGHT_6_SHIFT 16u
#define HOTLINE_WEIGHTS_1_WEIGHT_6_MASK 0x001F0000u
#define HOTLINE_WEIGHTS_1_WEIGHT_7_SHIFT 24u
#define HOTLINE_WEIGHTS_1_WEIGHT_7_MASK 0x1F000000u
#define HOTLINE_WEIGHTS_2 0x078u /* Update weights: what a lookup adds to its row's counter, by its sample's other misses. */
#define HOTLINE_WEIGHTS_2_WEIGHT_8_SHIFT 0u
#define HOTLINE_WEIGHTS_2_WEIGHT_8_MASK 0x0000001Fu
#define HOTLINE_WEIGHTS_2_WEIGHT_9_SHIFT 8u
#define HOTLINE_WEIGHTS_2_WEIGHT_9_MASK 0x00001F00u
#define HOTLINE_WEIGHTS_2_WEIGHT_10_SHIFT 16u
#define HOTLINE_WEIGHTS_2_WEIGHT_10_MASK 0x001F0000u
#define HOTLINE_WEIGHTS_2_WEIGHT_11_SHIFT 24u
#define HOTLINE_WEIGHTS_2_WEIGHT_11_MASK 0x1F000000u
#define HOTLINE_WEIGHTS_3 0x07Cu /* Update weights: what a lookup adds to its row's counter, by its sample's other misses. */
#define HOTLINE_WEIGHTS_3_WEIGHT_12_SHIFT 0u
#define HOTLINE_WEIGHTS_3_WEIGHT_12_MASK 0x0000001Fu
#define HOTLINE_WEIGHTS_3_WEIGHT_13_SHIFT 8u
#define HOTLINE_WEIGHTS_3_WEIGHT_13_MASK 0x00001F00u
#define HOTLINE_WEIGHTS_3_WEIGHT_14_SHIFT 16u
#define HOTLINE_WEIGHTS_3_WEIGHT_14_MASK 0x001F0000u
#define HOTLINE_WEIGHTS_3_WEIGHT_15_SHIFT 24u
#define HOTLINE_WEIGHTS_3_WEIGHT_15_MASK 0x1F000000u
#define HOTLINE_HOT_COUNT 0x080u /* Rows that are hot. */
#define HOTLINE_HOT_COUNT_ROWS_SHIFT 0u
#define HOTLINE_HOT_COUNT_ROWS_MASK 0xFFFFFFFFu
#define HOTLINE_THRESHOLD 0x084u /* Counter from which SELECT last thought a row popular. */
#define HOTLINE_THRESHOLD_THRESHOLD_SHIFT 0u
#define HOTLINE_THRESHOLD_THRESHOLD_MASK 0xFFFFFFFFu
#define HOTLINE_COUNTER_BATCHES_LO 0x100u /* Counter (function of the input), snapshot: a mini-batch whose two result packets have left. */
#define HOTLINE_COUNTER_BATCHES_HI 0x104u /* Counter (function of the input), snapshot: a mini-batch whose two result packets have left. */
#define HOTLINE_COUNTER_SAMPLES_LO 0x108u /* Counter (function of the input), snapshot: a sample. */
#define HOTLINE_COUNTER_SAMPLES_HI 0x10Cu /* Counter (function of the input), snapshot: a sample. */
#define HOTLINE_COUNTER_POPULAR_SAMPLES_LO 0x110u /* Counter (function of the input), snapshot: a sample all of whose lookups hit. */
#define HOTLINE_COUNTER_POPULAR_SAMPLES_HI 0x114u /* Counter (function of the input), snapshot: a sample all of whose lookups hit. */
#define HOTLINE_COUNTER_LOOKUPS_LO 0x118u /* Counter (function of the input), snapshot: a lookup. */
#define HOTLINE_COUNTER_LOOKUPS_HI 0x11Cu /* Counter (function of the input), snapshot: a lookup. */
#define HOTLINE_COUNTER_LOOKUP_HITS_LO 0x120u /* Counter (function of the input), snapshot: a lookup that hit. */
#define HOTLINE_COUNTER_LOOKUP_HITS_HI 0x124u /* Counter (function of the input), snapshot: a lookup that hit. */
#define HOTLINE_COUNTER_INSERTS_LO 0x128u /* Counter (function of the input), snapshot: a key that the tracker took in. */
#define HOTLINE_COUNTER_INSERTS_HI 0x12Cu /* Counter (function of the input), snapshot: a key that the tracker took in. */
#define HOTLINE_COUNTER_EVICTIONS_LO 0x130u /* Counter (function of the input), snapshot: an insert that drove a valid entry out. */
#define HOTLINE_COUNTER_EVICTIONS_HI 0x134u /* Counter (function of the input), snapshot: an insert that drove a valid entry out. */
#define HOTLINE_COUNTER_REVIVALS_LO 0x138u /* Counter (function of the input), snapshot: an update of a hot entry that was not referenced since its set's last aging. */
#define HOTLINE_COUNTER_REVIVALS_HI 0x13Cu /* Counter (function of the input), snapshot: an update of a hot entry that was not referenced since its set's last aging. */
#define HOTLINE_COUNTER_RETURNS_LO 0x140u /* Counter (function of the input), snapshot: an update of a cold entry that was referenced since its set's last aging. */
#define HOTLINE_COUNTER_RETURNS_HI 0x144u /* Counter (function of the input), snapshot: an update of a cold entry that was referenced since its set's last aging. */
#define HOTLINE_COUNTER_PROMOTIONS_LO 0x148u /* Counter (function of the input), snapshot: a row that SELECT made hot. */
#define HOTLINE_COUNTER_PROMOTIONS_HI 0x14Cu /* Counter (function of the input), snapshot: a row that SELECT made hot. */
#define HOTLINE_COUNTER_DEMOTIONS_LO 0x150u /* Counter (function of the input), snapshot: a row that SELECT made cold. */
#define HOTLINE_COUNTER_DEMOTIONS_HI 0x154u /* Counter (function of the input), snapshot: a row that SELECT made cold. */
#define HOTLINE_COUNTER_INDEX_ERRORS_LO 0x158u /* Counter (function of the input), snapshot: a lookup word out of range. */
#define HOTLINE_COUNTER_INDEX_ERRORS_HI 0x15Cu /* Counter (function of the input), snapshot: a lookup word out of range. */
#define HOTLINE_COUNTER_CYCLES_LO 0x160u /* Counter (timing), snapshot: a clock cycle with a mini-batch in the core. */
#define HOTLINE_COUNTER_CYCLES_HI 0x164u /* Counter (timing), snapshot: a clock cycle with a mini-batch in the core. */
#define HOTLINE_COUNTER_SELECT_CYCLES_LO 0x168u /* Counter (timing), snapshot: a clock cycle of a SELECT command. */
#define HOTLINE_COUNTER_SELECT_CYCLES_HI 0x16Cu /* Counter (timing), snapshot: a clock cycle of a SELECT command. */
#define HOTLINE_COUNTER_INPUT_IDLE_LO 0x170u /* Counter (timing), snapshot: such a cycle in which s_axis_lookup had no beat for a core that was ready. */
#define HOTLINE_COUNTER_INPUT_IDLE_HI 0x174u /* Counter (timing), snapshot: such a cycle in which s_axis_lookup had no beat for a core that was ready. */
#define HOTLINE_COUNTER_BANK_STALL_LO 0x178u /* Counter (timing), snapshot: such a cycle in which a full bank queue held back a beat. */
#define HOTLINE_COUNTER_BANK_STALL_HI 0x17Cu /* Counter (timing), snapshot: such a cycle in which a full bank queue held back a beat. */
#define HOTLINE_COUNTER_SPLIT_BEATS_LO 0x180u /* Counter (timing), snapshot: such a cycle in which a beat was cut: one bank got more of its lookups than bank_ports. */
#define HOTLINE_COUNTER_SPLIT_BEATS_HI 0x184u /* Counter (timing), snapshot: such a cycle in which a beat was cut: one bank got more of its lookups than bank_ports. */
#define HOTLINE_COUNTER_OUTPUT_STALL_LO 0x188u /* Counter (timing), snapshot: such a cycle in which a result stream was valid and not ready. */
#define HOTLINE_COUNTER_OUTPUT_STALL_HI 0x18Cu /* Counter (timing), snapshot: such a cycle in which a result stream was valid and not ready. */
#define HOTLINE_CAP_DMA 0x1000u /* Capability: the AXI4 manager. */
#define HOTLINE_CAP_DMA_LOG2_AXI_BYTES_SHIFT 0u
#define HOTLINE_CAP_DMA_LOG2_AXI_BYTES_MASK 0x000000FFu
#define HOTLINE_CAP_DMA_WINDOWS_SHIFT 8u
#define HOTLINE_CAP_DMA_WINDOWS_MASK 0x0000FF00u
#define HOTLINE_CAP_DMA_LOG2_READ_TAGS_SHIFT 16u
#define HOTLINE_CAP_DMA_LOG2_READ_TAGS_MASK 0x00FF0000u
#define HOTLINE_CAP_DMA_LOG2_READ_BEATS_SHIFT 24u
#define HOTLINE_CAP_DMA_LOG2_READ_BEATS_MASK 0xFF000000u
#define HOTLINE_CAP_WORKING 0x1004u /* Capability: working parameters. */
#define HOTLINE_CAP_WORKING_WORKING_ROWS_SHIFT 0u
#define HOTLINE_CAP_WORKING_WORKING_ROWS_MASK 0xFFFFFFFFu
#define HOTLINE_DMA_CONTROL 0x1008u /* Control of the rings. */
#define HOTLINE_DMA_CONTROL_ENABLE_SHIFT 0u
#define HOTLINE_DMA_CONTROL_ENABLE_MASK 0x00000001u
#define HOTLINE_DMA_STATUS 0x100Cu /* Status of the rings. */
#define HOTLINE_DMA_STATUS_RUNNING_SHIFT 0u
#define HOTLINE_DMA_STATUS_RUNNING_MASK 0x00000001u
#define HOTLINE_DMA_STATUS_READING_SHIFT 1u
#define HOTLINE_DMA_STATUS_READING_MASK 0x00000002u
#define HOTLINE_DMA_STATUS_WRITING_SHIFT 2u
#define HOTLINE_DMA_STATUS_WRITING_MASK 0x00000004u
#define HOTLINE_DMA_STATUS_FULL_SHIFT 3u
#define HOTLINE_DMA_STATUS_FULL_MASK 0x00000008u
#define HOTLINE_RING_LO 0x1010u /* Descriptor ring. */
#define HOTLINE_RING_LO_ADDRESS_SHIFT 6u
#define HOTLINE_RING_LO_ADDRESS_MASK 0xFFFFFFC0u
#define HOTLINE_RING_HI 0x1014u /* Descriptor ring. */
#define HOTLINE_RING_HI_ADDRESS_SHIFT 0u
#define HOTLINE_RING_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_CPL_LO 0x1018u /* Completion ring. */
#define HOTLINE_CPL_LO_ADDRESS_SHIFT 6u
#define HOTLINE_CPL_LO_ADDRESS_MASK 0xFFFFFFC0u
#define HOTLINE_CPL_HI 0x101Cu /* Completion ring. */
#define HOTLINE_CPL_HI_ADDRESS_SHIFT 0u
#define HOTLINE_CPL_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_RING_SIZE 0x1020u /* Entries of either ring. */
#define HOTLINE_RING_SIZE_LOG2_SIZE_SHIFT 0u
#define HOTLINE_RING_SIZE_LOG2_SIZE_MASK 0x0000000Fu
#define HOTLINE_RING_PRODUCER 0x1024u /* Doorbell: descriptors up to here, excluded, are ready. */
#define HOTLINE_RING_PRODUCER_INDEX_SHIFT 0u
#define HOTLINE_RING_PRODUCER_INDEX_MASK 0x0000FFFFu
#define HOTLINE_RING_CONSUMER 0x1028u /* Descriptors up to here, excluded, were fetched. */
#define HOTLINE_RING_CONSUMER_INDEX_SHIFT 0u
#define HOTLINE_RING_CONSUMER_INDEX_MASK 0x0000FFFFu
#define HOTLINE_CPL_PRODUCER 0x102Cu /* Completions up to here, excluded, were written. */
#define HOTLINE_CPL_PRODUCER_INDEX_SHIFT 0u
#define HOTLINE_CPL_PRODUCER_INDEX_MASK 0x0000FFFFu
#define HOTLINE_CPL_CONSUMER 0x1030u /* Completions up to here, excluded, were read by the host. */
#define HOTLINE_CPL_CONSUMER_INDEX_SHIFT 0u
#define HOTLINE_CPL_CONSUMER_INDEX_MASK 0x0000FFFFu
#define HOTLINE_DMA_IRQ_STATUS 0x1034u /* Interrupt causes of the rings. */
#define HOTLINE_DMA_IRQ_STATUS_COMPLETION_SHIFT 0u
#define HOTLINE_DMA_IRQ_STATUS_COMPLETION_MASK 0x00000001u
#define HOTLINE_DMA_IRQ_STATUS_ERROR_SHIFT 1u
#define HOTLINE_DMA_IRQ_STATUS_ERROR_MASK 0x00000002u
#define HOTLINE_DMA_IRQ_ENABLE 0x1038u /* Causes that drive irq. */
#define HOTLINE_DMA_IRQ_ENABLE_COMPLETION_SHIFT 0u
#define HOTLINE_DMA_IRQ_ENABLE_COMPLETION_MASK 0x00000001u
#define HOTLINE_DMA_IRQ_ENABLE_ERROR_SHIFT 1u
#define HOTLINE_DMA_IRQ_ENABLE_ERROR_MASK 0x00000002u
#define HOTLINE_DMA_COALESCE 0x103Cu /* When completions interrupt. A write of CPL_CONSUMER begins anew. */
#define HOTLINE_DMA_COALESCE_COUNT_SHIFT 0u
#define HOTLINE_DMA_COALESCE_COUNT_MASK 0x0000FFFFu
#define HOTLINE_DMA_DELAY 0x1040u /* When completions interrupt. */
#define HOTLINE_DMA_DELAY_CYCLES_SHIFT 0u
#define HOTLINE_DMA_DELAY_CYCLES_MASK 0xFFFFFFFFu
#define HOTLINE_DMA_ERROR 0x1044u /* Errors of the rings. */
#define HOTLINE_DMA_ERROR_DOORBELL_SHIFT 0u
#define HOTLINE_DMA_ERROR_DOORBELL_MASK 0x00000001u
#define HOTLINE_DMA_ERROR_COMPLETIONS_FULL_SHIFT 1u
#define HOTLINE_DMA_ERROR_COMPLETIONS_FULL_MASK 0x00000002u
#define HOTLINE_DMA_ERROR_DESCRIPTOR_READ_SHIFT 2u
#define HOTLINE_DMA_ERROR_DESCRIPTOR_READ_MASK 0x00000004u
#define HOTLINE_DMA_ERROR_COMPLETION_WRITE_SHIFT 3u
#define HOTLINE_DMA_ERROR_COMPLETION_WRITE_MASK 0x00000008u
#define HOTLINE_TABLE_INDEX 0x1048u /* Embedding table that the next TABLE_STRIDE sets up. */
#define HOTLINE_TABLE_INDEX_TABLE_SHIFT 0u
#define HOTLINE_TABLE_INDEX_TABLE_MASK 0x000000FFu
#define HOTLINE_TABLE_LO 0x104Cu /* Address of its row 0. */
#define HOTLINE_TABLE_LO_ADDRESS_SHIFT 4u
#define HOTLINE_TABLE_LO_ADDRESS_MASK 0xFFFFFFF0u
#define HOTLINE_TABLE_HI 0x1050u /* Address of its row 0. */
#define HOTLINE_TABLE_HI_ADDRESS_SHIFT 0u
#define HOTLINE_TABLE_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_TABLE_ROWS 0x1054u /* Its rows; 0 takes it away. */
#define HOTLINE_TABLE_ROWS_ROWS_SHIFT 0u
#define HOTLINE_TABLE_ROWS_ROWS_MASK 0xFFFFFFFFu
#define HOTLINE_TABLE_STRIDE 0x1058u /* Sets the table up. */
#define HOTLINE_TABLE_STRIDE_GRANULES_SHIFT 0u
#define HOTLINE_TABLE_STRIDE_GRANULES_MASK 0x0000FFFFu
#define HOTLINE_DMA_COMMAND 0x105Cu /* Counters of the shell. */
#define HOTLINE_DMA_COMMAND_CODE_SHIFT 0u
#define HOTLINE_DMA_COMMAND_CODE_MASK 0x000000FFu
#define HOTLINE_WINDOW_0_LO 0x1080u /* Window 0: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_0_LO_ADDRESS_SHIFT 12u
#define HOTLINE_WINDOW_0_LO_ADDRESS_MASK 0xFFFFF000u
#define HOTLINE_WINDOW_0_HI 0x1084u /* Window 0: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_0_HI_ADDRESS_SHIFT 0u
#define HOTLINE_WINDOW_0_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_0_PAGES 0x1088u /* Window 0: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_0_PAGES_PAGES_SHIFT 0u
#define HOTLINE_WINDOW_0_PAGES_PAGES_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_0_CONTROL 0x108Cu /* Window 0: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_0_CONTROL_READ_SHIFT 0u
#define HOTLINE_WINDOW_0_CONTROL_READ_MASK 0x00000001u
#define HOTLINE_WINDOW_0_CONTROL_WRITE_SHIFT 1u
#define HOTLINE_WINDOW_0_CONTROL_WRITE_MASK 0x00000002u
#define HOTLINE_WINDOW_1_LO 0x1090u /* Window 1: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_1_LO_ADDRESS_SHIFT 12u
#define HOTLINE_WINDOW_1_LO_ADDRESS_MASK 0xFFFFF000u
#define HOTLINE_WINDOW_1_HI 0x1094u /* Window 1: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_1_HI_ADDRESS_SHIFT 0u
#define HOTLINE_WINDOW_1_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_1_PAGES 0x1098u /* Window 1: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_1_PAGES_PAGES_SHIFT 0u
#define HOTLINE_WINDOW_1_PAGES_PAGES_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_1_CONTROL 0x109Cu /* Window 1: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_1_CONTROL_READ_SHIFT 0u
#define HOTLINE_WINDOW_1_CONTROL_READ_MASK 0x00000001u
#define HOTLINE_WINDOW_1_CONTROL_WRITE_SHIFT 1u
#define HOTLINE_WINDOW_1_CONTROL_WRITE_MASK 0x00000002u
#define HOTLINE_WINDOW_2_LO 0x10A0u /* Window 2: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_2_LO_ADDRESS_SHIFT 12u
#define HOTLINE_WINDOW_2_LO_ADDRESS_MASK 0xFFFFF000u
#define HOTLINE_WINDOW_2_HI 0x10A4u /* Window 2: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_2_HI_ADDRESS_SHIFT 0u
#define HOTLINE_WINDOW_2_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_2_PAGES 0x10A8u /* Window 2: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_2_PAGES_PAGES_SHIFT 0u
#define HOTLINE_WINDOW_2_PAGES_PAGES_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_2_CONTROL 0x10ACu /* Window 2: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_2_CONTROL_READ_SHIFT 0u
#define HOTLINE_WINDOW_2_CONTROL_READ_MASK 0x00000001u
#define HOTLINE_WINDOW_2_CONTROL_WRITE_SHIFT 1u
#define HOTLINE_WINDOW_2_CONTROL_WRITE_MASK 0x00000002u
#define HOTLINE_WINDOW_3_LO 0x10B0u /* Window 3: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_3_LO_ADDRESS_SHIFT 12u
#define HOTLINE_WINDOW_3_LO_ADDRESS_MASK 0xFFFFF000u
#define HOTLINE_WINDOW_3_HI 0x10B4u /* Window 3: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_3_HI_ADDRESS_SHIFT 0u
#define HOTLINE_WINDOW_3_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_3_PAGES 0x10B8u /* Window 3: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_3_PAGES_PAGES_SHIFT 0u
#define HOTLINE_WINDOW_3_PAGES_PAGES_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_3_CONTROL 0x10BCu /* Window 3: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_3_CONTROL_READ_SHIFT 0u
#define HOTLINE_WINDOW_3_CONTROL_READ_MASK 0x00000001u
#define HOTLINE_WINDOW_3_CONTROL_WRITE_SHIFT 1u
#define HOTLINE_WINDOW_3_CONTROL_WRITE_MASK 0x00000002u
#define HOTLINE_WINDOW_4_LO 0x10C0u /* Window 4: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_4_LO_ADDRESS_SHIFT 12u
#define HOTLINE_WINDOW_4_LO_ADDRESS_MASK 0xFFFFF000u
#define HOTLINE_WINDOW_4_HI 0x10C4u /* Window 4: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_4_HI_ADDRESS_SHIFT 0u
#define HOTLINE_WINDOW_4_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_4_PAGES 0x10C8u /* Window 4: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_4_PAGES_PAGES_SHIFT 0u
#define HOTLINE_WINDOW_4_PAGES_PAGES_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_4_CONTROL 0x10CCu /* Window 4: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_4_CONTROL_READ_SHIFT 0u
#define HOTLINE_WINDOW_4_CONTROL_READ_MASK 0x00000001u
#define HOTLINE_WINDOW_4_CONTROL_WRITE_SHIFT 1u
#define HOTLINE_WINDOW_4_CONTROL_WRITE_MASK 0x00000002u
#define HOTLINE_WINDOW_5_LO 0x10D0u /* Window 5: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_5_LO_ADDRESS_SHIFT 12u
#define HOTLINE_WINDOW_5_LO_ADDRESS_MASK 0xFFFFF000u
#define HOTLINE_WINDOW_5_HI 0x10D4u /* Window 5: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_5_HI_ADDRESS_SHIFT 0u
#define HOTLINE_WINDOW_5_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_5_PAGES 0x10D8u /* Window 5: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_5_PAGES_PAGES_SHIFT 0u
#define HOTLINE_WINDOW_5_PAGES_PAGES_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_5_CONTROL 0x10DCu /* Window 5: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_5_CONTROL_READ_SHIFT 0u
#define HOTLINE_WINDOW_5_CONTROL_READ_MASK 0x00000001u
#define HOTLINE_WINDOW_5_CONTROL_WRITE_SHIFT 1u
#define HOTLINE_WINDOW_5_CONTROL_WRITE_MASK 0x00000002u
#define HOTLINE_WINDOW_6_LO 0x10E0u /* Window 6: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_6_LO_ADDRESS_SHIFT 12u
#define HOTLINE_WINDOW_6_LO_ADDRESS_MASK 0xFFFFF000u
#define HOTLINE_WINDOW_6_HI 0x10E4u /* Window 6: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_6_HI_ADDRESS_SHIFT 0u
#define HOTLINE_WINDOW_6_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_6_PAGES 0x10E8u /* Window 6: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_6_PAGES_PAGES_SHIFT 0u
#define HOTLINE_WINDOW_6_PAGES_PAGES_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_6_CONTROL 0x10ECu /* Window 6: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_6_CONTROL_READ_SHIFT 0u
#define HOTLINE_WINDOW_6_CONTROL_READ_MASK 0x00000001u
#define HOTLINE_WINDOW_6_CONTROL_WRITE_SHIFT 1u
#define HOTLINE_WINDOW_6_CONTROL_WRITE_MASK 0x00000002u
#define HOTLINE_WINDOW_7_LO 0x10F0u /* Window 7: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_7_LO_ADDRESS_SHIFT 12u
#define HOTLINE_WINDOW_7_LO_ADDRESS_MASK 0xFFFFF000u
#define HOTLINE_WINDOW_7_HI 0x10F4u /* Window 7: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_7_HI_ADDRESS_SHIFT 0u
#define HOTLINE_WINDOW_7_HI_ADDRESS_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_7_PAGES 0x10F8u /* Window 7: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_7_PAGES_PAGES_SHIFT 0u
#define HOTLINE_WINDOW_7_PAGES_PAGES_MASK 0xFFFFFFFFu
#define HOTLINE_WINDOW_7_CONTROL 0x10FCu /* Window 7: memory that the accelerator may touch. */
#define HOTLINE_WINDOW_7_CONTROL_READ_SHIFT 0u
#define HOTLINE_WINDOW_7_CONTROL_READ_MASK 0x00000001u
#define HOTLINE_WINDOW_7_CONTROL_WRITE_SHIFT 1u
#define HOTLINE_WINDOW_7_CONTROL_WRITE_MASK 0x00000002u
#define HOTLINE_COUNTER_DESCRIPTORS_LO 0x1100u /* Counter (function of the input), snapshot: a descriptor that was completed. */
#define HOTLINE_COUNTER_DESCRIPTORS_HI 0x1104u /* Counter (function of the input), snapshot: a descriptor that was completed. */
#define HOTLINE_COUNTER_FAILED_DESCRIPTORS_LO 0x1108u /* Counter (function of the input), snapshot: a descriptor that was completed with a status other than OK. */
#define HOTLINE_COUNTER_FAILED_DESCRIPTORS_HI 0x110Cu /* Counter (function of the input), snapshot: a descriptor that was completed with a status other than OK. */
#define HOTLINE_COUNTER_ROWS_GATHERED_LO 0x1110u /* Counter (function of the input), snapshot: a row that GATHER brought. */
#define HOTLINE_COUNTER_ROWS_GATHERED_HI 0x1114u /* Counter (function of the input), snapshot: a row that GATHER brought. */
#define HOTLINE_COUNTER_BYTES_READ_LO 0x1118u /* Counter (timing), snapshot: a byte that m_axi brought, in whole beats. */
#define HOTLINE_COUNTER_BYTES_READ_HI 0x111Cu /* Counter (timing), snapshot: a byte that m_axi brought, in whole beats. */
#define HOTLINE_COUNTER_BYTES_WRITTEN_LO 0x1120u /* Counter (timing), snapshot: a byte that m_axi took, in whole beats. */
#define HOTLINE_COUNTER_BYTES_WRITTEN_HI 0x1124u /* Counter (timing), snapshot: a byte that m_axi took, in whole beats. */
#define HOTLINE_COUNTER_DMA_CYCLES_LO 0x1128u /* Counter (timing), snapshot: a clock cycle with a descriptor under way or waiting in the ring. */
#define HOTLINE_COUNTER_DMA_CYCLES_HI 0x112Cu /* Counter (timing), snapshot: a clock cycle with a descriptor under way or waiting in the ring. */
#define HOTLINE_COUNTER_DMA_USEFUL_LO 0x1130u /* Counter (timing), snapshot: such a cycle in which a beat of lookups, rows, a list or state moved. */
#define HOTLINE_COUNTER_DMA_USEFUL_HI 0x1134u /* Counter (timing), snapshot: such a cycle in which a beat of lookups, rows, a list or state moved. */
#define HOTLINE_COUNTER_DMA_CORE_LO 0x1138u /* Counter (timing), snapshot: such a cycle in which the core held a beat back, or was at work alone. */
#define HOTLINE_COUNTER_DMA_CORE_HI 0x113Cu /* Counter (timing), snapshot: such a cycle in which the core held a beat back, or was at work alone. */
#define HOTLINE_COUNTER_DMA_READ_LO 0x1140u /* Counter (timing), snapshot: such a cycle in which data, or a descriptor, was due from memory. */
#define HOTLINE_COUNTER_DMA_READ_HI 0x1144u /* Counter (timing), snapshot: such a cycle in which data, or a descriptor, was due from memory. */
#define HOTLINE_COUNTER_DMA_WRITE_LO 0x1148u /* Counter (timing), snapshot: such a cycle in which memory held writes back, or their responses were due. */
#define HOTLINE_COUNTER_DMA_WRITE_HI 0x114Cu /* Counter (timing), snapshot: such a cycle in which memory held writes back, or their responses were due. */
#define HOTLINE_COUNTER_DMA_OVERHEAD_LO 0x1150u /* Counter (timing), snapshot: any other such cycle: decoding descriptors, completing them. */
#define HOTLINE_COUNTER_DMA_OVERHEAD_HI 0x1154u /* Counter (timing), snapshot: any other such cycle: decoding descriptors, completing them. */

#endif
