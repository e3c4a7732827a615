"""The catalogue of faults: one command per line, after the status and the codes of the errors with which it ends.

The files are those of tests/faults/inputs.py. What a command writes where it succeeds is named `new`. A word before the
command with `=` sets a variable of the environment. `CLOSED_STREAMS` are commands whose standard streams a shell closes, or whose memory it limits. `BROKEN_PIPES` are commands
whose output nobody reads.
"""

CATALOGUE = """
6 E901: check pipe
6 E901: check device
6 E901: check socket
6 E901: check loop
6 E901: check a_folder
6 E901: check nowhere
6 E901: fmt pipe
6 E901: fmt device
6 E901: fmt socket
6 E901: fmt loop
6 E901: fmt a_folder
6 E901: fmt nowhere
6 E901: fmt --check pipe
6 E901: fmt --check device
6 E901: fmt --check socket
6 E901: fmt --check loop
6 E901: fmt --check a_folder
6 E901: fmt --check nowhere
6 E901: info pipe
6 E901: info device
6 E901: info socket
6 E901: info loop
6 E901: info a_folder
6 E901: info nowhere
6 E901: where pipe
6 E901: where device
6 E901: where socket
6 E901: where loop
6 E901: where a_folder
6 E901: where nowhere
6 E901: import pipe -o new.cnn
6 E901: import device -o new.cnn
6 E901: import socket -o new.cnn
6 E901: import loop -o new.cnn
6 E901: import a_folder -o new.cnn
6 E901: import nowhere -o new.cnn
6 E901: predict pipe x.npy
6 E901: predict device x.npy
6 E901: predict socket x.npy
6 E901: predict loop x.npy
6 E901: predict a_folder x.npy
6 E901: predict nowhere x.npy
3 E608: predict model_plain.onnx pipe
3 E608: predict model_plain.onnx device
3 E608: predict model_plain.onnx socket
3 E608: predict model_plain.onnx loop
6 E901: predict model_plain.onnx a_folder
3 E608: predict model_plain.onnx nowhere
6 E901: eval pipe
6 E901: eval device
6 E901: eval socket
6 E901: eval loop
3 E606: eval a_folder
6 E901: eval nowhere
6 E901: bench pipe
6 E901: bench device
6 E901: bench socket
6 E901: bench loop
3 E606: bench a_folder
6 E901: bench nowhere
3 E606: export pipe -o new.onnx
3 E606: export device -o new.onnx
3 E606: export socket -o new.onnx
3 E606: export loop -o new.onnx
3 E606: export a_folder -o new.onnx
3 E606: export nowhere -o new.onnx
6 E901: train pipe --run new
6 E901: train device --run new
6 E901: train socket --run new
6 E901: train loop --run new
6 E901: train a_folder --run new
6 E901: train nowhere --run new
3 E606: draw pipe -o new.svg
3 E606: draw device -o new.svg
3 E606: draw socket -o new.svg
3 E606: draw loop -o new.svg
3 E606: draw a_folder -o new.svg
3 E606: draw nowhere -o new.svg
3 E606: inspect pipe -o new.html
3 E606: inspect device -o new.html
3 E606: inspect socket -o new.html
3 E606: inspect loop -o new.html
3 E606: inspect a_folder -o new.html
3 E606: inspect nowhere -o new.html
3 E606: curves pipe -o new.svg
3 E606: curves device -o new.svg
3 E606: curves socket -o new.svg
3 E606: curves loop -o new.svg
3 E606: curves a_folder -o new.svg
3 E606: curves nowhere -o new.svg
6 E901: filter pipe -o new.png
6 E901: filter device -o new.png
6 E901: filter socket -o new.png
6 E901: filter loop -o new.png
6 E901: filter a_folder -o new.png
6 E901: filter nowhere -o new.png
3 E606: demo pipe -o new.html
3 E606: demo device -o new.html
3 E606: demo socket -o new.html
3 E606: demo loop -o new.html
3 E606: demo a_folder -o new.html
3 E606: demo nowhere -o new.html
6 E901: data pipe
6 E901: data device
6 E901: data socket
6 E901: data loop
2 E010: data a_folder
6 E901: data nowhere
3 E602: data npz pipe
3 E602: data npz device
3 E602: data npz socket
3 E603: data npz loop
3 E602: data npz a_folder
3 E603: data npz nowhere
3 E602: data images pipe
3 E602: data images device
3 E602: data images socket
3 E603: data images loop
3 E602: data images a_folder
3 E603: data images nowhere
3 E602: data series pipe
3 E602: data series device
3 E602: data series socket
3 E603: data series loop
3 E602: data series a_folder
3 E603: data series nowhere
3 E602: data text pipe
3 E602: data text device
3 E602: data text socket
3 E603: data text loop
3 E602: data text a_folder
3 E603: data text nowhere
3 E602: data shards pipe
3 E602: data shards device
3 E602: data shards socket
3 E603: data shards loop
3 E602: data shards a_folder
3 E603: data shards nowhere
3 E606: train --resume pipe
3 E606: train --resume device
3 E606: train --resume socket
3 E606: train --resume loop
3 E606: train --resume a_folder
3 E606: train --resume nowhere
6 E901: check pipe.cnn
6 E903: check sparse.cnn
1 E116: check nothing.cnn
1 E008: check noise.cnn
6 E901: fmt pipe.cnn
6 E903: fmt sparse.cnn
0: fmt nothing.cnn
1 E008: fmt noise.cnn
6 E901: train pipe.cnn --run new
6 E903: train sparse.cnn --run new
1 E116: train nothing.cnn --run new
1 E008: train noise.cnn --run new
6 E901: info pipe.onnx
6 E903: info sparse.onnx
3 E604: info nothing.onnx
3 E604: info noise.onnx
6 E901: where pipe.onnx
6 E903: where sparse.onnx
3 E604: where nothing.onnx
3 E604: where noise.onnx
6 E901: import pipe.onnx -o new.cnn
6 E903: import sparse.onnx -o new.cnn
3 E624: import nothing.onnx -o new.cnn
3 E624: import noise.onnx -o new.cnn
6 E901: predict pipe.onnx x.npy
6 E903: predict sparse.onnx x.npy
3 E604: predict nothing.onnx x.npy
3 E604: predict noise.onnx x.npy
3 E606: eval pipe.safetensors
3 E605: eval sparse.safetensors
3 E605: eval nothing.safetensors
3 E605: eval noise.safetensors
3 E606: export pipe.safetensors -o new.onnx
3 E605: export sparse.safetensors -o new.onnx
3 E605: export nothing.safetensors -o new.onnx
3 E605: export noise.safetensors -o new.onnx
3 E602: data npz pipe.npz
3 E602: data npz sparse.npz
3 E602: data npz nothing.npz
3 E602: data npz noise.npz
3 E602: data images pipe.zip
3 E602: data images sparse.zip
3 E602: data images nothing.zip
3 E602: data images noise.zip
3 E602: data shards pipe.tar
3 E602: data shards sparse.tar
3 E602: data shards nothing.tar
3 E602: data shards noise.tar
3 E602: data series pipe.csv
3 E602: data series sparse.csv
3 E602: data series nothing.csv
3 E602: data series noise.csv
3 E602: data text pipe.tsv
3 E602: data text sparse.tsv
3 E602: data text nothing.tsv
3 E602: data text noise.tsv
6 E901: predict net.onnx pipe.npy
6 E903: predict net.onnx sparse.npy
3 E608: predict net.onnx nothing.npy
3 E608: predict net.onnx noise.npy
6 E901: predict net.onnx pipe.npz
3 E602: predict net.onnx sparse.npz
3 E602: predict net.onnx nothing.npz
3 E602: predict net.onnx noise.npz
6 E901: predict net.onnx pipe.png
6 E903: predict net.onnx sparse.png
3 E608: predict net.onnx nothing.png
3 E608: predict net.onnx noise.png
3 E608: predict net.onnx pipe.csv
3 E608: predict net.onnx sparse.csv
3 E608: predict net.onnx nothing.csv
3 E608: predict net.onnx noise.csv
1 E116: check empty.cnn
1 E002: check colon.cnn
1 E104 E202: check overflow.cnn
1 E004: check infinite.cnn
1 E203: check huge_kernel.cnn
1 E309: check huge_input.cnn
1 E309: check too_many_weights.cnn
1 E002: check half_names.cnn
1 E501 E508: check dotted.cnn
1 E005 E125: check arabic.cnn
1 E203: check zero.cnn
1 E203: check negative.cnn
1 E005: check nul.cnn
1 E005 E006: check escape.cnn
1 E003 E202: check quoted.cnn
1 E005: check bidi.cnn
1 E007: check braces.cnn
1 E007: check nested.cnn
1 E007: check parentheses.cnn
1 E007: check long_sum.cnn
1 E111: check long_word.cnn
1 E202: check many_errors.cnn
1 E113: check doubling.cnn
1 E113: check doubling_branches.cnn
1 E104: check doubling_numbers.cnn
1 E113: check rounds.cnn
1 E113: check rounds_in_rounds.cnn
1 E119: check recursive.cnn
1 E302: check symbols_large_kernel.cnn
0: check symbols_one_wrong.cnn
1 E302: check symbols_pools.cnn
1 E309: check symbols_upsample.cnn
1 E113: check symbols_computed.cnn
1 E314: check symbols_fc.cnn
0: check tilde.cnn
1 E506: check data_unknown.cnn
0: check data_missing.cnn
1 E003: check data_nul.cnn
1 E009: check utf16.cnn
1 E008: check latin1.cnn
1 E008: check no_text.cnn
1 E001: check too_long.cnn
1 E009: check zip.cnn
3 E603: train tilde.cnn --run new
1 E506: train data_unknown.cnn --run new
3 E603: train data_missing.cnn --run new
1 E003: train data_nul.cnn --run new
1 E501 E508: train dotted.cnn --run new
1 E309: train too_many_weights.cnn --run new
1 E003: train hostile_path.cnn --run new
3 E603: train hostile_names.cnn --run new
1 E309: export too_many_weights.cnn -o new.onnx
1 E002: draw colon.cnn -o new.svg
1 E008: fmt utf16.cnn
1 E008: fmt latin1.cnn
1 E008: fmt no_text.cnn
1 E002: fmt colon.cnn
3 E624: import colon.cnn -o new.cnn
1 E120: check include_chain.cnn
0: check include_tree.cnn
1 E120: check include_pipe.cnn
1 E120: check include_device.cnn
1 E120: check include_sparse.cnn
1 E120: check include_socket.cnn
1 E120: check include_folder.cnn
1 E120: check include_outside.cnn
1 E120: check include_itself.cnn
1 E120: check include_missing.cnn
1 E120: check include_passwords.cnn
1 E120: check include_link.cnn
3 E602: train npz_pipe.cnn --run new
3 E602: train npz_device.cnn --run new
3 E602: train npz_socket.cnn --run new
3 E603: train npz_loop.cnn --run new
3 E602: train npz_a_folder.cnn --run new
3 E602: train images_pipe.cnn --run new
3 E602: train images_device.cnn --run new
3 E602: train images_socket.cnn --run new
3 E603: train images_loop.cnn --run new
3 E602: train images_a_folder.cnn --run new
1 E507: train text_pipe.cnn --run new
1 E507: train text_device.cnn --run new
1 E507: train text_socket.cnn --run new
1 E507: train text_loop.cnn --run new
1 E507: train text_a_folder.cnn --run new
3 E602: train series_pipe.cnn --run new
3 E602: train series_device.cnn --run new
3 E602: train series_socket.cnn --run new
3 E603: train series_loop.cnn --run new
3 E602: train series_a_folder.cnn --run new
3 E602: train shards_pipe.cnn --run new
3 E602: train shards_device.cnn --run new
3 E602: train shards_socket.cnn --run new
3 E603: train shards_loop.cnn --run new
3 E602: train shards_a_folder.cnn --run new
3 E602: train npz_nan.cnn --run new
3 E602: train npz_labels.cnn --run new
3 E602: train npz_negative.cnn --run new
3 E602: train npz_shape.cnn --run new
3 E602: train npz_lengths.cnn --run new
3 E602: train npz_no_y.cnn --run new
3 E602: train npz_texts.cnn --run new
3 E602: train npz_empty_arrays.cnn --run new
3 E602: train npz_objects.cnn --run new
3 E602: train npz_cut.cnn --run new
3 E602: train npz_bomb.cnn --run new
3 E602: train npz_sparse.cnn --run new
3 E602: train npz_noise.cnn --run new
3 E602: train npz_nothing.cnn --run new
3 E602: train series_arabic.cnn --run new
3 E602: train series_nan.cnn --run new
3 E602: train series_inf.cnn --run new
3 E602: train series_short.cnn --run new
3 E602: train series_words.cnn --run new
3 E602: train series_nul.cnn --run new
3 E602: train series_latin.cnn --run new
3 E602: train series_long.cnn --run new
3 E602: train series_hostile.cnn --run new
3 E602: train images_bombs.cnn --run new
3 E602: train images_archive.cnn --run new
3 E602: train shards_archive.cnn --run new
3 E608: predict net.onnx objects.npy
3 E608: predict net.onnx texts.npy
3 E608: predict net.onnx header.npy
3 E602: predict net.onnx bomb.npz
6 E902: predict net.onnx good.npz --out digits.npy
3 E608: predict net.onnx bomb_grey.png
3 E608: filter bomb_grey.png -o new.png
3 E608: predict net.onnx bomb_colour.png
3 E608: filter bomb_colour.png -o new.png
3 E608: predict net.onnx bomb_alpha.png
3 E608: filter bomb_alpha.png -o new.png
3 E608: predict net.onnx bomb_16.png
3 E608: filter bomb_16.png -o new.png
3 E608: predict net.onnx bomb_bits.png
3 E608: filter bomb_bits.png -o new.png
3 E608: predict net.onnx bomb_float.tif
3 E608: filter bomb_float.tif -o new.png
3 E608: predict net.onnx bomb_int.tif
3 E608: filter bomb_int.tif -o new.png
3 E608: predict net.onnx bomb.gif
3 E608: filter bomb.gif -o new.png
3 E608: predict net.onnx bomb.bmp
3 E608: filter bomb.bmp -o new.png
3 E608: predict net.onnx bomb.ppm
3 E608: filter bomb.ppm -o new.png
0: predict net.onnx cut.png
0: filter cut.png -o new.png
3 E608: predict net.onnx other.png
3 E608: filter other.png -o new.png
3 E608: predict net.onnx words.png
3 E608: filter words.png -o new.png
3 E604: info model_op_not_utf8.onnx
3 E604: predict model_op_not_utf8.onnx x.npy
3 E624: import model_op_not_utf8.onnx -o new.cnn
0: info model_output_nul.onnx
0: predict model_output_nul.onnx x.npy
0: import model_output_nul.onnx -o new.cnn
3 E604: info model_half.onnx
3 E604: predict model_half.onnx x.npy
3 E624: import model_half.onnx -o new.cnn
3 E604: info model_tail.onnx
3 E604: predict model_tail.onnx x.npy
3 E624: import model_tail.onnx -o new.cnn
3 E604: info model_fields.onnx
3 E604: predict model_fields.onnx x.npy
3 E624: import model_fields.onnx -o new.cnn
3 E604: info model_field_zero.onnx
3 E604: predict model_field_zero.onnx x.npy
3 E624: import model_field_zero.onnx -o new.cnn
3 E604: info model_text.onnx
3 E604: predict model_text.onnx x.npy
3 E624: import model_text.onnx -o new.cnn
0: info model_two_graphs.onnx
3 E604: predict model_two_graphs.onnx x.npy
3 E624: import model_two_graphs.onnx -o new.cnn
3 E604: info model_no_version.onnx
3 E604: predict model_no_version.onnx x.npy
0: import model_no_version.onnx -o new.cnn
0: info model_future.onnx
3 E604: predict model_future.onnx x.npy
3 E623: import model_future.onnx -o new.cnn
0: info model_future_ir.onnx
3 E604: predict model_future_ir.onnx x.npy
3 E623: import model_future_ir.onnx -o new.cnn
0: info model_domain.onnx
3 E604: predict model_domain.onnx x.npy
3 E621: import model_domain.onnx -o new.cnn
0: info model_operator.onnx
3 E604: predict model_operator.onnx x.npy
3 E621: import model_operator.onnx -o new.cnn
0: info model_dangling.onnx
3 E604: predict model_dangling.onnx x.npy
3 E624: import model_dangling.onnx -o new.cnn
0: info model_batch.onnx
3 E609: predict model_batch.onnx x.npy
0: import model_batch.onnx -o new.cnn
0: info model_negative.onnx
0: predict model_negative.onnx x.npy
0: import model_negative.onnx -o new.cnn
3 E604: info model_no_nodes.onnx
3 E604: predict model_no_nodes.onnx x.npy
3 E624: import model_no_nodes.onnx -o new.cnn
0: info model_string_input.onnx
3 E604: predict model_string_input.onnx x.npy
3 E621: import model_string_input.onnx -o new.cnn
0: info model_many_axes.onnx
3 E608: predict model_many_axes.onnx x.npy
3 E621: import model_many_axes.onnx -o new.cnn
0: info model_huge_weight.onnx
3 E604: predict model_huge_weight.onnx x.npy
3 E624: import model_huge_weight.onnx -o new.cnn
6 E903: info model_sparse_2gb.onnx
6 E903: predict model_sparse_2gb.onnx x.npy
6 E903: import model_sparse_2gb.onnx -o new.cnn
3 E604: info model_external_outside.onnx
3 E604: predict model_external_outside.onnx x.npy
3 E622: import model_external_outside.onnx -o new.cnn
3 E604: info model_external_absolute.onnx
3 E604: predict model_external_absolute.onnx x.npy
3 E622: import model_external_absolute.onnx -o new.cnn
3 E604: info model_external_pipe.onnx
3 E604: predict model_external_pipe.onnx x.npy
3 E622: import model_external_pipe.onnx -o new.cnn
3 E604: info model_external_device.onnx
3 E604: predict model_external_device.onnx x.npy
3 E622: import model_external_device.onnx -o new.cnn
3 E604: info model_external_link.onnx
3 E604: predict model_external_link.onnx x.npy
3 E622: import model_external_link.onnx -o new.cnn
3 E604: info model_external_hard_link.onnx
3 E604: predict model_external_hard_link.onnx x.npy
3 E622: import model_external_hard_link.onnx -o new.cnn
0: info model_external_missing.onnx
3 E604: predict model_external_missing.onnx x.npy
3 E622: import model_external_missing.onnx -o new.cnn
3 E604: info model_external_nul.onnx
3 E604: predict model_external_nul.onnx x.npy
3 E622: import model_external_nul.onnx -o new.cnn
3 E604: info model_external_folder.onnx
3 E604: predict model_external_folder.onnx x.npy
3 E622: import model_external_folder.onnx -o new.cnn
3 E604: info model_external_empty.onnx
3 E604: predict model_external_empty.onnx x.npy
3 E622: import model_external_empty.onnx -o new.cnn
0: info model_external_sparse.onnx
0: predict model_external_sparse.onnx x.npy
0: import model_external_sparse.onnx -o new.cnn
0: info model_hostile.onnx
0: predict model_hostile.onnx x.npy
0: import model_hostile.onnx -o new.cnn
0: info model_hostile_operator.onnx
3 E604: predict model_hostile_operator.onnx x.npy
3 E621: import model_hostile_operator.onnx -o new.cnn
3 E605: export damaged_bit.safetensors -o new.onnx
3 E605: export damaged_deep.safetensors -o new.onnx
3 E605: export damaged_long_header.safetensors -o new.onnx
3 E605: export damaged_longer.safetensors -o new.onnx
3 E605: export damaged_no_header.safetensors -o new.onnx
3 E605: export damaged_sparse.safetensors -o new.onnx
3 E605: export damaged_truncated.safetensors -o new.onnx
3 E605: export wrong_classes.safetensors -o new.onnx
3 E605: export wrong_engine.safetensors -o new.onnx
3 E605: export wrong_engine_options.safetensors -o new.onnx
3 E605: export wrong_file.safetensors -o new.onnx
3 E605: export wrong_includes.safetensors -o new.onnx
3 E605: export wrong_origin.safetensors -o new.onnx
3 E605: export wrong_progress.safetensors -o new.onnx
3 E605: export wrong_progress_answers.safetensors -o new.onnx
3 E605: export wrong_progress_best_epoch.safetensors -o new.onnx
3 E605: export wrong_progress_epoch.safetensors -o new.onnx
3 E605: export wrong_progress_loss_sum.safetensors -o new.onnx
3 E605: export wrong_progress_seen.safetensors -o new.onnx
3 E605: export wrong_progress_step.safetensors -o new.onnx
3 E605: export wrong_provider.safetensors -o new.onnx
3 E605: export wrong_settings.safetensors -o new.onnx
3 E605: export wrong_sizes.safetensors -o new.onnx
3 E605: export wrong_source.safetensors -o new.onnx
3 E605: export wrong_surrogate.safetensors -o new.onnx
3 E605: export wrong_tensors_flat.safetensors -o new.onnx
3 E605: export wrong_tensors_foreign.safetensors -o new.onnx
3 E605: export wrong_tensors_int64.safetensors -o new.onnx
3 E605: export wrong_tensors_none.safetensors -o new.onnx
3 E605: export wrong_threads.safetensors -o new.onnx
3 E605: export wrong_versions.safetensors -o new.onnx
3 E605: export wrong_vocabulary.safetensors -o new.onnx
3 E605: export wrong_without_source.safetensors -o new.onnx
3 E605: train --resume wrong_file.safetensors
3 E605: eval wrong_file.safetensors
3 E605: draw wrong_file.safetensors -o new.svg
3 E605: train --resume wrong_settings.safetensors
3 E605: eval wrong_settings.safetensors
3 E605: draw wrong_settings.safetensors -o new.svg
3 E605: train --resume wrong_progress_step.safetensors
3 E605: eval wrong_progress_step.safetensors
3 E605: draw wrong_progress_step.safetensors -o new.svg
3 E605: train --resume wrong_tensors_int64.safetensors
3 E605: eval wrong_tensors_int64.safetensors
3 E605: draw wrong_tensors_int64.safetensors -o new.svg
3 E605: train --resume damaged_sparse.safetensors
3 E605: eval damaged_sparse.safetensors
3 E605: draw damaged_sparse.safetensors -o new.svg
3 E605: train --resume damaged_deep.safetensors
3 E605: eval damaged_deep.safetensors
3 E605: draw damaged_deep.safetensors -o new.svg
0: curves run_best_folder -o new.svg
0: eval run_best_folder
0: curves run_best_noise -o new.svg
3 E605: eval run_best_noise
0: curves run_best_nothing -o new.svg
3 E605: eval run_best_nothing
0: curves run_best_pipe -o new.svg
0: eval run_best_pipe
0: curves run_best_zeros -o new.svg
3 E605: eval run_best_zeros
0: curves run_last_folder -o new.svg
0: eval run_last_folder
3 E606: train --resume run_last_folder
0: curves run_last_noise -o new.svg
0: eval run_last_noise
3 E605: train --resume run_last_noise
0: curves run_last_nothing -o new.svg
0: eval run_last_nothing
3 E605: train --resume run_last_nothing
0: curves run_last_pipe -o new.svg
0: eval run_last_pipe
3 E606: train --resume run_last_pipe
0: curves run_last_zeros -o new.svg
0: eval run_last_zeros
3 E605: train --resume run_last_zeros
6 E901: curves run_metrics_folder -o new.svg
0: eval run_metrics_folder
6 E901: train --resume run_metrics_folder
3 E612: curves run_metrics_noise -o new.svg
0: eval run_metrics_noise
0: train --resume run_metrics_noise
3 E612: curves run_metrics_nothing -o new.svg
0: eval run_metrics_nothing
0: train --resume run_metrics_nothing
6 E901: curves run_metrics_pipe -o new.svg
0: eval run_metrics_pipe
6 E901: train --resume run_metrics_pipe
3 E612: curves run_metrics_zeros -o new.svg
0: eval run_metrics_zeros
0: train --resume run_metrics_zeros
0: curves run_network_folder -o new.svg
0: eval run_network_folder
0: curves run_network_noise -o new.svg
0: eval run_network_noise
0: curves run_network_nothing -o new.svg
0: eval run_network_nothing
0: curves run_network_pipe -o new.svg
0: eval run_network_pipe
0: curves run_network_zeros -o new.svg
0: eval run_network_zeros
0: curves run_test_folder -o new.svg
0: eval run_test_folder
0: curves run_test_noise -o new.svg
0: eval run_test_noise
0: curves run_test_nothing -o new.svg
0: eval run_test_nothing
0: curves run_test_pipe -o new.svg
0: eval run_test_pipe
0: curves run_test_zeros -o new.svg
0: eval run_test_zeros
6 E902: export net.cnn -o /dev/full
6 E902: export run -o /dev/full
6 E902: export net.cnn -o pipe.onnx
6 E902: export net.cnn -o socket
6 E902: export net.cnn -o a_folder
6 E902: export net.cnn -o nowhere/new.onnx
6 E902: export net.cnn -o net.cnn
6 E902: export net.cnn -o digits.npy
6 E902: export net.cnn -o loop
6 E902: export net.cnn -o run/network.cnn
2 E010: import net.onnx -o /dev/full
6 E902: import net.onnx -o pipe.cnn
6 E902: import net.onnx -o net.cnn
2 E010: import net.onnx -o net.onnx
6 E902: draw net.cnn -o pipe.png
6 E902: draw net.cnn -o /dev/full
6 E902: draw net.cnn -o a_folder
6 E902: draw net.cnn -o net.cnn
6 E902: train net.cnn --run net.cnn
6 E902: train net.cnn --run pipe
6 E902: train net.cnn --run /dev/full
6 E902: train net.cnn --run /proc/new
6 E902: predict model_plain.onnx x.npy --out pipe
6 E902: predict model_plain.onnx x.npy --out /dev/full
6 E902: new net
2 E010: new ''
2 E010: new /
6 E902: new nowhere/new
2 E010: new .
2 E010: export net.cnn -o new.onnx --external --at H=1
6 E902: demo net.onnx -o /dev/full
6 E902: curves run -o /dev/full
6 E902: inspect run -o /dev/full
6 E901: check ''
6 E901: info ''
6 E901: predict net.onnx ''
6 E901: train ''
2 E010: CNNC_THREADS=² train net.cnn --run new
2 E010: CNNC_THREADS=0 train net.cnn --run new
2 E010: CNNC_THREADS=-1 train net.cnn --run new
2 E010: CNNC_THREADS=1e3 train net.cnn --run new
2 E010: CNNC_THREADS=99999999999999999999 train net.cnn --run new
0: CNNC_THREADS='' train net.cnn --run new
2 E010: CNNC_THREADS=٣ train net.cnn --run new
2 E005: train net.cnn --set train.epochs=٣ --run new
2 E115: train net.cnn --set train.lr=nan --run new
2 E115: train net.cnn --set fish=1 --run new
2 E004: train net.cnn --set train.epochs=1e999 --run new
2 E010: check net.cnn --at H=٣
2 E010: check net.cnn --batch 0
2 E010: check net.cnn --batch 1e9
2 E010: unfold '1e999 2; 3 4' --kernel 1
6 E901: unfold @pipe --kernel 1
6 E901: unfold @device --kernel 1
2 E010: unfold @sparse.cnn --kernel 1
2 E010: explain E999
2 E010: ops fish
6 E901: check \x1b[31mfish.cnn
6 E901: info \x1b]0;t\x07.onnx
2 E010: fish
2 E010: --fish
2 E010: check --fish net.cnn
3 E601: eval net.onnx --on fish
2 E010: bench net.onnx --seconds -1
2 E010: bench net.onnx --threads 99999999999999999999
2 E010: train net.cnn --run ''
2 E010: export net.cnn -o ''
2 E010: import net.onnx --out=
2 E010: predict net.onnx good.npz --out ''
6 E913: check net.cnn --max-params 100
6 E913: train net.cnn --max-memory 100k --run new
6 E913: predict net.onnx digits.npy --max-memory 1k
6 E913: import net.onnx --max-params 5 -o new.cnn
6 E913: CNNC_MAX_MEMORY=1k train --resume run
6 E913: CNNC_MAX_PARAMS=10 export run -o new.onnx
2 E010: CNNC_MAX_MEMORY=fish export net.cnn -o new.onnx
2 E010: check net.cnn --max-params -5
2 E010: info net.onnx --max-memory ٣M
"""

CLOSED_STREAMS = """
0: check net.cnn ; >&-
0: check net.cnn ; 2>&-
0: check net.cnn ; <&- >&- 2>&-
1: check colon.cnn ; 2>&-
1: check colon.cnn ; >&- 2>&-
0: info net.onnx ; >&-
0: info net.onnx --json ; >&-
6: info net.onnx --json ; >/dev/full
6: check colon.cnn ; 2>/dev/full
0: train net.cnn --run new ; >&- 2>&-
0: train net.cnn --run new ; <&-
0: export net.cnn -o new.onnx ; >&- 2>&-
0: fmt - ; <&-
0: check net.cnn ; ulimit -v 120000
6: train net.cnn --run new ; ulimit -v 120000
6: train net.cnn --run new ; ulimit -v 160000
6: predict net.onnx good.npz ; ulimit -v 120000
6: predict net.onnx good.npz ; ulimit -v 200000
6: info net.onnx ; ulimit -v 160000
6: export net.cnn -o new.onnx ; ulimit -v 200000
0: train net.cnn --run new ; ulimit -v 4000000
2: fish ; 2>&-
"""

BROKEN_PIPES = """
check net.cnn
check net.cnn --json
check net.cnn --csv
check net.cnn --explain
check net.cnn --format sarif
check colon.cnn --format json
train net.cnn --run new
train net.cnn --run new --json
train net.cnn --dry-run
export net.cnn -o new.onnx
export net.cnn -o new.onnx --json --report
export net.cnn -o /dev/stdout
export --passes
import net.onnx -o new.cnn
import net.onnx -o new.cnn --json
predict net.onnx good.npz
predict net.onnx good.npz --json
eval run
eval run --json
eval net.onnx
info net.onnx
info net.onnx --json
info net.onnx --source
where net.onnx
bench net.onnx --seconds 0 --warmup 0
bench net.onnx --seconds 0 --warmup 0 --json
unfold net.cnn conv1
unfold '1 2; 3 4' --kernel 1
fmt --diff untidy.cnn
fmt --check untidy.cnn
new --list
new --list --json
new new
draw net.cnn -o new.svg
inspect run -o new.html
curves run -o new.svg
data net.cnn
data digits --json
demo net.onnx -o new.html
filter cut.png -o new.png
ops
ops conv
explain
explain E302
doctor
doctor --json
man
--help
--version
check --help
lsp --help
"""
