"""A video file -> frames on the number grid."""
