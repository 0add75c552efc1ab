"""Solvers stepped by hand, shared params, two losses, a Python layer in a train net, snapshots."""

import os
import sys

import numpy as np

sys.path.insert(0, os.getcwd())
open("own_layers.py", "w").write("""
import caffe
import numpy as np
import json


class Stretch(caffe.Layer):
    def setup(self, bottom, top):
        self.factor = json.loads(self.param_str)['factor']

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = np.tanh(self.factor * bottom[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * top[0].diff * (1 - top[0].data ** 2)
""")
import caffe

TRAIN = """
name: 'pair'
layer { name: 'data' type: 'Input' top: 'data' top: 'other' top: 'sim' top: 'label'
  input_param { shape { dim: 6 dim: 2 dim: 5 dim: 5 } shape { dim: 6 dim: 2 dim: 5 dim: 5 } shape { dim: 6 } shape { dim: 6 } } }
layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'conv' param { name: 'w' lr_mult: 1 } param { name: 'b' lr_mult: 2 }
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: 'constant' value: 0.1 } } }
layer { name: 'stretch' type: 'Python' bottom: 'conv' top: 'stretch'
  python_param { module: 'own_layers' layer: 'Stretch' param_str: '{"factor": 0.7}' } }
layer { name: 'fc' type: 'InnerProduct' bottom: 'stretch' top: 'fc' inner_product_param { num_output: 4 } }
layer { name: 'conv_p' type: 'Convolution' bottom: 'other' top: 'conv_p' param { name: 'w' lr_mult: 1 } param { name: 'b' lr_mult: 2 }
  convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: 'feat' type: 'InnerProduct' bottom: 'stretch' top: 'feat' param { name: 'fw' } param { name: 'fb' } inner_product_param { num_output: 2 } }
layer { name: 'feat_p' type: 'InnerProduct' bottom: 'conv_p' top: 'feat_p' param { name: 'fw' } param { name: 'fb' } inner_product_param { num_output: 2 } }
layer { name: 'pair' type: 'ContrastiveLoss' bottom: 'feat' bottom: 'feat_p' bottom: 'sim' top: 'pair' loss_weight: 0.3 contrastive_loss_param { margin: 2 } }
layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'fc' bottom: 'label' top: 'loss' }
"""
open("train.prototxt", "w").write(TRAIN)
out = {}
for kind, lines in {
    "SGD": "momentum: 0.9 weight_decay: 0.01 lr_policy: 'step' stepsize: 4 gamma: 0.5",
    "Adam": "momentum: 0.9 momentum2: 0.99 lr_policy: 'fixed'",
}.items():
    open("solver.prototxt", "w").write(
        "net: 'train.prototxt' type: '%s' base_lr: 0.05 max_iter: 10 snapshot_prefix: 'pair_%s' %s"
        % (kind, kind, lines)
    )
    solver = caffe.get_solver("solver.prototxt") if kind == "Adam" else caffe.SGDSolver("solver.prototxt")
    draw = np.random.RandomState(4)
    for name in solver.net.params:
        for blob in solver.net.params[name]:
            blob.data[...] = draw.uniform(-0.5, 0.5, blob.data.shape)
    for name, shape in {"data": (6, 2, 5, 5), "other": (6, 2, 5, 5)}.items():
        solver.net.blobs[name].data[...] = draw.uniform(-1, 1, shape)
    solver.net.blobs["sim"].data[...] = [0, 1, 0, 1, 1, 0]
    solver.net.blobs["label"].data[...] = [0, 1, 2, 3, 0, 1]
    losses = []
    for _ in range(8):
        solver.step(1)
        losses.append([float(solver.net.blobs["loss"].data), float(solver.net.blobs["pair"].data)])
    out[kind + " losses"] = np.array(losses)
    out[kind + " iter"] = np.array(solver.iter)
    for name in ("conv", "fc", "feat"):
        out["%s %s" % (kind, name)] = solver.net.params[name][0].data.copy()
    out[kind + " stretch"] = solver.net.blobs["stretch"].data.copy()
    out[kind + " gradient"] = solver.net.params["conv"][0].diff.copy()
    solver.snapshot()
    solver.step(2)
    after = solver.net.params["fc"][0].data.copy()
    solver.restore("pair_%s_iter_8.solverstate" % kind)
    out[kind + " restored"] = np.array(solver.iter)
    solver.step(2)
    out[kind + " same"] = np.array(np.abs(solver.net.params["fc"][0].data - after).max() < 1e-6)
    out[kind + " end"] = solver.net.params["fc"][0].data.copy()
    out[kind + " shared"] = np.array((solver.net.params["conv"][0].data == solver.net.params["conv_p"][0].data).all())
    net = solver.net
    net.params["fc"][0].data[...] = 0
    net.params["fc"][0].diff[...] = 1
np.savez(sys.argv[1], **out)
