// emu.h - what tests see of the emulated card: how often it was requested what, since it was loaded.
#ifndef LT_EMU_H
#define LT_EMU_H

typedef struct emu_counts {
    long launches, recordings, recordings_freed, replays, uploaded, downloaded; // the last two in bytes
} emu_counts;
#define EMU_COUNTS "emu_counts_get"
typedef emu_counts *emu_counts_function(void);
__attribute__((visibility("default"))) emu_counts *emu_counts_get(void);
#endif
