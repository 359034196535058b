"""Security vectors: harm is already learned while tuning, and unlearned by taking them off."""

from holdfast.defenses.attachments import kl_divergence
from holdfast.defenses.security_vectors.attachment import Attachment
from holdfast.defenses.security_vectors.gate import Gate
from holdfast.defenses.security_vectors.security_vectors import SecurityVectors
from holdfast.defenses.security_vectors.train import train_vector

__all__ = ["Attachment", "Gate", "SecurityVectors", "kl_divergence", "train_vector"]
