"""DICOM files: headers, pixel data, codecs, multi-frame objects, Secondary Capture."""
