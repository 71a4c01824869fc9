"""How to find a model's routers, and one small module per way of reading them."""
