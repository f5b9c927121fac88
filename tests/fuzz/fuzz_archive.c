/* Archives from foreign bytes: opened, every entry read. Nothing may come out that is longer than
 * what an entry may have. */
#include "server/clusters/archive.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err_info err = ERR_INFO_INIT;
    struct archive *a = NULL;

    if (archive_open(&a, data, len, &err)) {
        assert(*err.message && !a);
        return 0;
    }
    assert(archive_entries(a) > 0 && archive_entries(a) <= ARCHIVE_ENTRIES_MAX);
    for (int i = 0; i < archive_entries(a) && i < 50; i++) {
        struct buf out = BUF_INIT(ARCHIVE_ENTRY_MAX_BYTES + 1);
        struct archive_entry e;
        struct err_info why = ERR_INFO_INIT;
        archive_entry(&e, a, i);
        assert(e.name && (!e.refused.code || *e.refused.message));
        enum err rc = archive_read(&out, a, i, &why);
        assert(!rc || *why.message);
        assert(out.len <= ARCHIVE_ENTRY_MAX_BYTES && (rc || !e.refused.code));
        buf_release(&out);
    }
    archive_free(a);
    return 0;
}
