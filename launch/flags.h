// The typed flags of all subcommands, each defined once in flags.cc. Which of them a subcommand
// takes, and what it says about them, is in its Command.
#pragma once

#include <gflags/gflags.h>

DECLARE_string(account);
DECLARE_string(also);
DECLARE_bool(bare);
DECLARE_string(boxes);
DECLARE_bool(check);
DECLARE_string(checkpoint);
DECLARE_string(config);
DECLARE_string(container);
DECLARE_string(device);
DECLARE_bool(dry_run);
DECLARE_string(exclude);
DECLARE_int32(exclude_for);
DECLARE_int32(generations);
DECLARE_string(image_column);
DECLARE_string(imagenome);
DECLARE_string(images);
DECLARE_string(in);
DECLARE_string(json);
DECLARE_int32(keep);
DECLARE_string(labels);
DECLARE_int64(limit);
DECLARE_string(links);
DECLARE_bool(local);
DECLARE_int32(local_ranks);
DECLARE_bool(no_mpi);
DECLARE_int32(node);
DECLARE_int32(nodes);
DECLARE_int32(of);
DECLARE_bool(once);
DECLARE_string(out);
DECLARE_string(partition);
DECLARE_string(patient_column);
DECLARE_string(pictures);
DECLARE_string(preset);
DECLARE_string(program);
DECLARE_bool(probe);
DECLARE_int32(ranks);
DECLARE_int32(ranks_per_node);
DECLARE_string(reason);
DECLARE_string(reports);
DECLARE_bool(requeue);
DECLARE_string(resume);
DECLARE_string(run);
DECLARE_int64(samples);
DECLARE_uint64(seed);
DECLARE_int32(signal_margin);
DECLARE_int32(size);
DECLARE_int32(spares);
DECLARE_string(split);
DECLARE_string(split_column);
DECLARE_string(splits);
DECLARE_string(task);
DECLARE_string(test);
DECLARE_double(test_share);
DECLARE_string(text_column);
DECLARE_string(texts);
DECLARE_double(tflops);
DECLARE_string(time);
DECLARE_double(valid_share);
DECLARE_bool(values);
DECLARE_string(vocab);
DECLARE_int32(workers);
