"""What is known of the published networks: counts, and digests of their weights' and their layers' descriptions.

Taken from the published prototxts and caffemodels (named in each generated file's header), not from the generators:
parameters with BatchNorm's three blobs, multiply-adds of convolutions and inner products at batch 1, the digest of the
``layer,type,blob shapes`` lines of all weights in order, and the digest that `arithmetic.graph_digest` gives for the
whole published graph, its final 7x7 average written as a global one. Of seven networks only the weights' names and
shapes are public, so they have no graph digest.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One network; ``size`` (px) is the square input at which ``macs`` were counted."""

    parameters: int
    macs: int
    size: int
    weights: str
    graph: str | None = None


PUBLISHED = {
    "air101": Published(64_511_698, 11_462_246_400, 224, "b5a32be246599fe5", "c32668b273f5442c"),
    "air14-1x16d": Published(1_195_347, 212_254_720, 224, "82c2bf389fea95c2", "f47cf30b0f1b4623"),
    "air14-1x8d": Published(430_539, 54_546_432, 224, "3ebccdb5d9809e65", "a443c9bbe92897e0"),
    "air152": Published(88_023_335, 17_030_578_176, 224, "0f7477d200f7e250", "393eb29785ae50e7"),
    "air26-1x16d": Published(1_757_447, 294_141_952, 224, "9a39f8ae72b1d71e"),
    "air26-1x32d": Published(5_964_791, 1_164_705_792, 224, "ac7c27daf47e7008", "6dce5bf753d23264"),
    "air50-1x16d": Published(2_665_743, 457_916_416, 224, "a7323d990580f148", "cc19dcdc7685b8c7"),
    "air50-1x32d": Published(9_550_653, 1_580_163_072, 224, "95c4f625663a15b4", "e4fe18803637d52a"),
    "airx101-32x4d": Published(65_353_554, 11_953_569_792, 224, "ceeaecc466bca093"),
    "airx50-24x4d": Published(28_163_261, 4_786_028_544, 224, "0bc7315d29c6b6ac", "12f43551e3c064d1"),
    "dpn-107-extra": Published(87_131_735, 18_298_764_288, 224, "e2138a03062f4c1d", "5b02255826c5dbb0"),
    "dpn-131": Published(79_477_999, 32_678_118_400, 320, "f056253534ddee56"),
    "dpn-68-extra": Published(12_676_790, 2_326_163_456, 224, "9e6d25d06eaa94d3", "2939fe017c3b6fe8"),
    "dpn-92": Published(37_793_704, 6_501_684_224, 224, "014ff7e85827bd32", "68fd76a17fb4d7b3"),
    "dpn-98": Published(61_735_726, 11_671_217_152, 224, "782404872a2348b7", "be06742da4edb019"),
    "googlenet": Published(6_998_552, 1_582_671_872, 224, "0c06832ff96aa51a", "0d49c867528d34d6"),
    "inception-resnet-v2": Published(55_904_212, 13_155_794_016, 299, "e8712ad2cf3f5594", "d40d3e77758f2bf0"),
    "inception-v1-dsd": Published(13_378_280, 1_591_044_096, 224, "28f2d39f8cfa29e5", "1d57b1fb71b56f6b"),
    "inception-v1-tf": Published(6_639_521, 1_498_376_192, 224, "b002c59f02280cfd", "57009f05a47fac76"),
    "inception-v2-tf": Published(11_208_068, 2_197_132_672, 231, "12e9705667dbf85a", "6e543e3a99ebc2b8"),
    "inception-v3": Published(23_869_094, 5_713_216_096, 299, "b100a0dbce6162f5", "18862bea57c046f0"),
    "inception-v4": Published(42_743_133, 12_253_974_624, 299, "315c060f4721c2cc", "8177a0fdcb402db0"),
    "resnet101-v2": Published(44_639_244, 7_801_405_440, 224, "b9d7bf4fffe7de6e", "cbd8ca9f539ee5fb"),
    "resnet152-v2": Published(60_329_023, 11_513_626_624, 224, "a0af4fecf65cd041", "276503fbd0cd5dee"),
    "resnet269-v2": Published(102_311_092, 20_029_898_752, 224, "1af282684ec86412"),
    "resnet38a": Published(109_215_757, 49_518_575_616, 224, "5e532a80594a0da7", "fb229cf60df86890"),
    "resnet10-1x32d": Published(1_492_902, 285_054_976, 224, "29c1631c21720b73", "27fa0fcfc9b86443"),
    "resnet10-1x48d": Published(3_161_022, 637_117_440, 224, "997c6631e6f8e729", "35f22f88b0fed64f"),
    "resnet10-1x64d": Published(5_443_926, 1_128_869_888, 224, "02a6e26e1c722c66", "b508f9e0c35a341e"),
    "resnet10-1x96d": Published(11_797_719, 2_025_068_544, 224, "85b6a6b0d75fc3a7", "c106d6900ddcdaa7"),
    "resnet101": Published(44_654_608, 7_570_194_432, 224, "b748fc542e5ac144", "e891783a9393130f"),
    "resnet152": Published(60_344_387, 11_282_415_616, 224, "d177b513058c94a7", "0a32ceee5cadaf11"),
    "resnet18-1x128d": Published(45_656_927, 6_935_347_200, 224, "f42633824f47211c", "81649e3e5976f7e7"),
    "resnet18-1x16d": Published(833_174, 130_485_248, 224, "3b29026a649a7a56", "90f682f12e2a18b5"),
    "resnet18-1x32d": Published(3_063_470, 516_265_984, 224, "3e37ad8e93bd3f12", "93df845aeada08bf"),
    "resnet18-1x48d": Published(6_691_910, 1_157_342_208, 224, "373744f0f40ad7f1"),
    "resnet18-1x64d": Published(11_718_494, 2_053_713_920, 224, "589e8950860fca7f", "277327dead5eb6da"),
    "resnet18-1x96d": Published(25_909_727, 4_105_967_616, 224, "586cc0af5cbaac34", "7adf1dbae7b21f73"),
    "resnet18-priv": Published(11_699_132, 1_814_073_344, 224, "1728ad8c4a3f34de", "7e8eb6ebee733e34"),
    "resnet50": Published(25_610_269, 3_857_973_248, 224, "3bdc04fb68b8c2b8", "6086c9cb1b477e3e"),
    "resnext101-32x4d": Published(44_315_664, 7_969_996_800, 224, "96d9b2c220f58032", "2b6b753ea7f1a1b1"),
    "resnext101-64x4d": Published(83_658_256, 15_460_270_080, 224, "304b6ecac93b9ad4"),
    "resnext26-32x4d-priv": Published(15_428_037, 2_470_707_200, 224, "ae2a463ac9cf73cc", "07b3d88e039d9292"),
    "resnext50-32x4d": Published(25_097_181, 4_230_479_872, 224, "c8e7a78ee2412387", "2f9d1b09e75c62fe"),
    "se-inception-v2": Published(11_951_723, 2_033_239_424, 224, "730475345274e37a", "0281edb0798bc4d5"),
    "se-resnet101": Published(49_432_320, 7_574_937_600, 224, "56706437bdf697a9", "cd3f57e760162314"),
    "se-resnet152": Published(66_973_427, 11_288_993_792, 224, "4953d9702fcc42d9", "8fdf9ea181814668"),
    "se-resnet50-hik": Published(28_141_197, 4_093_816_000, 225, "a791f8ab6f0123dc", "aa7b273bd4c3ca5d"),
    "se-resnet50": Published(28_141_197, 3_860_488_192, 224, "e031f6b430a0b9dd", "6174ba5226e51cd5"),
    "se-resnext101-32x4d": Published(49_093_376, 7_974_739_968, 224, "47cbd237274b03af"),
    "se-resnext50-32x4d": Published(27_628_173, 4_232_994_816, 224, "392a2f6aa5bc809b", "b3d45eb82a0bdbef"),
    "senet": Published(115_336_693, 20_688_363_520, 224, "d179d7be8114b17f", "cf275e267bd85dbb"),
    "wrn50-2": Published(68_951_517, 11_398_021_120, 224, "ed8c76289dca32d0", "c233575ff2955751"),
    "xception-dw": Published(22_910_520, 8_357_403_496, 299, "97c5436c1d2c101f", "7b591e67154f1eb7"),
    "xception": Published(22_910_520, 8_357_403_496, 299, "66f83e35d88230d5", "dd554f5ccda23a81"),
}
