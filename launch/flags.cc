#include "launch/flags.h"

// No help texts here: what a flag means is said by each subcommand that takes it.
DEFINE_bool(bare, false, "");
DEFINE_string(boxes, "", "");
DEFINE_bool(check, false, "");
DEFINE_string(checkpoint, "", "");
DEFINE_string(config, "", "");
DEFINE_string(device, "auto", "");
DEFINE_bool(dry_run, false, "");
DEFINE_string(image_column, "", "");
DEFINE_string(images, "", "");
DEFINE_string(in, "", "");
DEFINE_string(json, "", "");
DEFINE_int64(limit, 0, "");
DEFINE_string(links, "", "");
DEFINE_int32(local_ranks, 0, "");
DEFINE_int32(nodes, 1, "");
DEFINE_string(out, "", "");
DEFINE_string(patient_column, "", "");
DEFINE_string(pictures, "", "");
DEFINE_string(preset, "", "");
DEFINE_int32(ranks_per_node, 1, "");
DEFINE_string(resume, "auto", "");
DEFINE_string(run, "", "");
DEFINE_int64(samples, 4000, "");
DEFINE_uint64(seed, 7, "");
DEFINE_int32(size, 64, "");
DEFINE_string(split, "test", "");
DEFINE_string(split_column, "", "");
DEFINE_string(task, "all", "");
DEFINE_string(text_column, "", "");
DEFINE_double(test_share, 0.2, "");
DEFINE_string(texts, "", "");
DEFINE_double(tflops, 0, "");
DEFINE_double(valid_share, 0, "");
DEFINE_string(vocab, "", "");
DEFINE_int32(workers, 0, "");
