/* The importer of ONNX files, and everything behind it, on any bytes; nothing is written. */
#include "engine/model/import/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct import_job job = {
        .data = data, .len = len, .file = "fuzz", .options = {.accept_license = true}};
    struct err_info err = ERR_INFO_INIT;
    if (import_onnx(&job, &err) && !err.message[0]) __builtin_trap(); /* a refusal says why */
    return 0;
}
