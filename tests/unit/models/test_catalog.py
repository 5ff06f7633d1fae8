"""PaddleX's models that are known by name."""

from tritonpose_server.models.catalog import CATALOG, KnownModel


def test_the_catalog_has_the_models_of_the_pipeline():
    expected = [
        KnownModel("PP-YOLOE-S_human", "detector", "mAP 42.5", 28.8),
        KnownModel("PP-YOLOE-L_human", "detector", "mAP 48.0", 196.0),
        KnownModel("PP-TinyPose_128x96", "keypoint", "AP 58.4", None),
        KnownModel("PP-TinyPose_256x192", "keypoint", "AP 68.3", 4.9),
    ]
    assert list(CATALOG.items()) == [(model.name, model) for model in expected]
