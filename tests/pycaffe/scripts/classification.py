"""caffe.Classifier with a mean file and with one value a channel; the Transformer in its settings."""

import sys

import caffe
import numpy as np

NET = """
name: 'small' input: 'data' input_dim: 10 input_dim: 3 input_dim: 20 input_dim: 20
layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1' convolution_param { num_output: 6 kernel_size: 5 stride: 2 } }
layer { name: 'relu1' type: 'ReLU' bottom: 'conv1' top: 'conv1' }
layer { name: 'fc' type: 'InnerProduct' bottom: 'conv1' top: 'fc' inner_product_param { num_output: 7 } }
layer { name: 'prob' type: 'Softmax' bottom: 'fc' top: 'prob' }
"""
open("deploy.prototxt", "w").write(NET)
draw = np.random.RandomState(3)
net = caffe.Net("deploy.prototxt", caffe.TEST)
for name in net.params:
    for blob in net.params[name]:
        blob.data[...] = draw.uniform(-0.01, 0.01, blob.data.shape)
net.save("small.caffemodel")
mean = draw.uniform(80, 150, (3, 28, 26)).astype(np.float32)
blob = caffe.io.array_to_blobproto(mean[np.newaxis])
open("mean.binaryproto", "wb").write(blob.SerializeToString())
read = caffe.proto.caffe_pb2.BlobProto()
read.ParseFromString(open("mean.binaryproto", "rb").read())
mean_file = caffe.io.blobproto_to_array(read)[0]
images = [draw.uniform(0, 1, (33, 41, 3)).astype(np.float32), draw.uniform(0, 1, (20, 60, 3)).astype(np.float32)]
out = {"mean": mean_file}
for name, settings in {
    "file": dict(mean=mean_file, raw_scale=255, channel_swap=(2, 1, 0), image_dims=(26, 28)),
    "values": dict(mean=np.array([104.0, 117.0, 123.0]), raw_scale=255, channel_swap=(2, 1, 0)),
    "scaled": dict(input_scale=0.017, raw_scale=255, image_dims=(24, 24)),
}.items():
    classifier = caffe.Classifier("deploy.prototxt", "small.caffemodel", **settings)
    out[name + " ten"] = classifier.predict(images)
    out[name + " centre"] = classifier.predict(images, oversample=False)
transformer = caffe.io.Transformer({"data": (1, 3, 12, 14)})
x = draw.uniform(0, 1, (30, 25, 3))
out["plain"] = caffe.io.Transformer({"data": (1, 3, 30, 25)}).preprocess("data", x)
transformer.set_transpose("data", (2, 0, 1))
out["transposed"] = transformer.preprocess("data", x)
transformer.set_channel_swap("data", (2, 0, 1))
out["swapped"] = transformer.preprocess("data", x)
transformer.set_raw_scale("data", 255)
transformer.set_mean("data", np.array([1.0, 2.0, 3.0]))
out["scaled"] = transformer.preprocess("data", x)
transformer.set_mean("data", mean[:, :12, :14])
transformer.set_input_scale("data", 0.5)
out["all"] = transformer.preprocess("data", x)
out["back"] = transformer.deprocess("data", out["all"])
out["oversampled"] = caffe.io.oversample(images[:1], (11, 13))
out["bigger"] = caffe.io.resize_image(images[0], (50, 70))
out["list"] = np.concatenate(
    [a.ravel() for a in caffe.io.blobprotovector_str_to_arraylist(caffe.io.arraylist_to_blobprotovector_str([mean, x]))]
)
datum = caffe.io.array_to_datum((x * 255).astype(np.uint8).transpose(2, 0, 1), 5)
out["datum"] = caffe.io.datum_to_array(datum)
out["label"] = np.array(datum.label)
wrong = []
for call in (
    lambda: transformer.set_mean("data", np.zeros(4)),
    lambda: transformer.set_transpose("data", (0, 1)),
    lambda: transformer.set_channel_swap("data", (0, 1)),
    lambda: transformer.preprocess("label", x),
    lambda: caffe.io.array_to_datum(np.zeros((2, 2))),
    lambda: net.forward(label=x),
):
    try:
        call()
        wrong.append("none")
    except Exception:
        wrong.append("error")
out["wrong"] = np.array(wrong)
np.savez(sys.argv[1], **out)
