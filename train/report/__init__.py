"""What a run leaves to look at: the confusion matrix, the learning curves, and a page with both
and more."""

from train.report.confusion import confusion_matrix, confusion_text, save_confusion
from train.report.curves import save_curves
from train.report.page import save_page

__all__ = ["confusion_matrix", "confusion_text", "save_confusion", "save_curves", "save_page"]
