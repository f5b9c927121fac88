/* secure_delete overwrites what is deleted, but not all that SQLite leaves behind: when it moves
 * rows from one page to another to balance a tree, their bytes stay in the old page's gap, between
 * the cell pointers and the cells (balance_nonroot, rebuildPage), and later deletions do not know
 * of them. So pages pass through here on their way into the database file, and their gaps are
 * zeroed. The log's pages keep them; store_scrub empties the log.
 *
 * File format: sqlite.org/fileformat2.html, 1.6 "B-tree Pages". A page begins with its type; pages
 * of other kinds begin with a page number, whose first byte is none of the types as long as
 * the database has fewer than STORE_PAGES_MAX pages. */
#include "server/store/store_internal.h"

#include <string.h>

enum { FILE_HEADER_BYTES = 100, PAGE_MAX_BYTES = 65536 };

static int get2(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

/* The gap of a page: *start..*end; false: not a page of a tree. first: the file's first page. */
static bool gap(int *start, int *end, const uint8_t *page, int size, bool first)
{
    const int at = first ? FILE_HEADER_BYTES : 0;
    int header;

    if (size < FILE_HEADER_BYTES + 12) return false;
    switch (page[at]) {
    case 2:
    case 5:
        header = 12;
        break;
    case 10:
    case 13:
        header = 8;
        break;
    default:
        return false;
    }
    *start = at + header + 2 * get2(page + at + 3);
    *end = get2(page + at + 5);
    if (*end == 0) *end = PAGE_MAX_BYTES;
    return *start <= *end && *end <= size;
}

static int write_without_gap(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    const struct store__methods *m = (const struct store__methods *)(const void *)file->pMethods;
    uint8_t page[PAGE_MAX_BYTES];
    int start, end;

    if (size > PAGE_MAX_BYTES || !gap(&start, &end, data, size, offset == 0))
        return m->base->xWrite(file, data, size, offset);
    memcpy(page, data, (size_t)size);
    memset(page + start, 0, (size_t)(end - start));
    return m->base->xWrite(file, page, size, offset);
}

bool store__zero_gaps(struct store__methods *m, sqlite3 *db)
{
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) || !file->pMethods)
        return false;
    m->base = file->pMethods;
    m->ours = *m->base;
    m->ours.xWrite = write_without_gap;
    file->pMethods = &m->ours;
    return true;
}
