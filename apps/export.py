# SPDX-License-Identifier: MIT
"""Export a trained model, and run each export next to it to prove that they agree.

examples:
  keras-vit export runs/photos-1 --format litert --out phone/
  keras-vit export runs/photos-1 --format litert --quantize auto --out phone/ --check new_photos/
  keras-vit export runs/photos-1 --format saved_model,onnx --out server/
  keras-vit export runs/photos-1 --format litert --merge 0.3 --out fast/

A file takes the sizes, statistics and labels of the model with it; images of another size have to
be resized before (`keras-vit predict FILE` does). Modes of --quantize:
  none          float32
  float16       half the size; computed in float32 on a CPU
  dynamic_int8  a quarter of the size
  static_int8   activations and the products of attention in int8 too, with fixed ranges from 256
                training images (extra `quantize`); the fastest on a CPU with VNNI
  int8_io       integers only, input and output too, for accelerators; slow on a CPU
  auto          the smallest of the first four that loses at most --max_drop and is not slower
--merge SHARE merges patches whose keys are alike (ToMe, arXiv 2210.09461) in the first third of the
blocks, so that the MLPs of all blocks meet fewer patches by this share; at most 0.5.
Not with rotary positions, a relative position bias, int8_io or --attention.
With any of them --out also gets quantization.json, what each file costs and gains. A file that
loses more than --max_drop is rejected.

Exit code 1: an export disagrees; its file is kept as *.rejected.
"""

from keras_vit.apps.cli import import_keras, run_script


def add_flags(parser):
    parser.add_argument("model", help="run folder, or a .keras file, in one or alone")
    parser.add_argument(
        "--format", default="saved_model,litert", help="of saved_model, litert, onnx, with commas"
    )
    parser.add_argument("--out", required=True, help="folder for the files")
    parser.add_argument(
        "--check", help="labelled images to compare on; default: the run's own test split"
    )
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets")
    parser.add_argument(
        "--quantize", default="none", help="mode of LiteRT and ONNX files, see below"
    )
    parser.add_argument(
        "--merge",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="patches that the blocks compute less, 0 to 0.5, see below; default: 0",
    )
    parser.add_argument(
        "--max_drop",
        type=float,
        default=0.5,
        help="top-1 that quantisation or merging may cost, in points of 100; default: 0.5",
    )
    parser.add_argument(
        "--input",
        choices=("float32", "uint8"),
        default="float32",
        help="pixels that LiteRT and ONNX files take; default: float32",
    )
    parser.add_argument(
        "--batch",
        choices=("1", "dynamic"),
        default="1",
        help="images that a LiteRT file takes at a time; default: 1",
    )
    parser.add_argument(
        "--attention",
        action="store_true",
        help="LiteRT and ONNX files also give the attention weights of the last block",
    )


def main(args) -> int:
    from keras_vit.export.merging import check_merge

    check_merge(args.merge, args.quantize, args.attention)
    import_keras()
    from keras_vit.deploy import ExportOptions, export_run
    from keras_vit.reports import export_table, quantization_table

    batch = None if args.batch == "dynamic" else 1
    options = ExportOptions(
        args.quantize, args.input, batch, args.attention, args.max_drop, args.merge
    )
    formats = args.format.split(",")
    report = export_run(args.model, args.out, formats, args.check, args.data_dir, options)
    print(export_table(report))
    if "quantization" in report:
        print(quantization_table(report["quantization"]))
    return 0 if all(export["ok"] for export in report["exports"]) else 1


if __name__ == "__main__":
    run_script("export")
