"""What happens to pictures before anybody restores them: the second-order degradation model of Real-ESRGAN."""
