"""NetSpec: a LeNet, a ResNet block, coordinate maps; the text of the nets is the answer."""

import sys

import caffe
import numpy as np
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import coord_map_from_to, crop
from caffe.proto import caffe_pb2


def lenet(batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[dict(dim=[batch_size, 1, 28, 28]), dict(dim=[batch_size, 1, 1, 1])],
        transform_param=dict(scale=1.0 / 255),
        ntop=2,
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(
        n.pool1, num_output=50, weight_filler=dict(type="xavier"), param=[dict(lr_mult=1), dict(lr_mult=2)]
    )
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n.to_proto()


def conv_bn(bottom, out, stride=1, relu=True):
    conv = L.Convolution(bottom, kernel_size=3, pad=1, stride=stride, num_output=out, bias_term=False)
    bn = L.BatchNorm(conv, in_place=True)
    scale = L.Scale(bn, scale_param=dict(bias_term=True), in_place=True)
    return L.ReLU(scale, in_place=True) if relu else scale


def resnet():
    data = L.Input(input_param=dict(shape=dict(dim=[1, 3, 16, 16])))
    x = conv_bn(data, 8)
    for stride in (1, 2):
        short = x if stride == 1 else L.Convolution(x, kernel_size=1, stride=2, num_output=8)
        x = L.ReLU(L.Eltwise(conv_bn(conv_bn(x, 8, stride), 8, relu=False), short, operation=P.Eltwise.SUM))
    return caffe.net_spec.to_proto(L.Pooling(x, pool=P.Pooling.AVE, global_pooling=True))


n = caffe.NetSpec()
n.data = L.Input(shape=dict(dim=[2, 1, 100, 100]))
n.aux = L.Input(shape=dict(dim=[2, 1, 20, 20]))
n.conv = L.Convolution(n.data, num_output=10, kernel_size=4, stride=2, pad=6)
n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=2, stride=2, pad=0)
n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=8, stride=4, pad=0)
axis, a, b = coord_map_from_to(n.deconv, n.data)
n.crop = crop(n.deconv, n.data)
texts = [str(lenet(3)), str(resnet()), str(n.crop.fn.params), str(L.Silence(n.data, ntop=0).type_name)]
wrong = []
for call in (lambda: L.Convolution("data"), lambda: crop(n.deconv, n.aux), lambda: n.nothing):
    try:
        call()
        wrong.append("none")
    except (TypeError, RuntimeError, AttributeError, KeyError):
        wrong.append("error")
open("lenet.prototxt", "w").write(texts[0])
net = caffe.Net("lenet.prototxt", caffe.TRAIN)
state = caffe_pb2.NetParameter()
state.name = "x"
np.savez(
    sys.argv[1],
    texts=np.array(texts),
    map=np.array([axis, np.ravel(a)[0], np.ravel(b)[0]], float),
    wrong=np.array(wrong),
    layers=np.array([layer.type for layer in net.layers if layer.type != "Split"]),
    outputs=np.array(list(net.outputs)),
    name=np.array(state.name),
    types=np.array([t in caffe.layer_type_list() for t in ("Convolution", "ReLU", "Python")]),
)
