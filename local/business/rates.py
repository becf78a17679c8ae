"""How often the back office amends, and what the random numbers of its days begin with.

Apart from the simulator, because the help of `totes simulate` shows them and needs no NumPy.
"""

SEED = 755

_WORKING_DAYS_MEASURED = 64
# What was amended between the extracts of 2024-08-19 and 2024-11-15, and how often.
SEEN = {
    ("sales_order", "design_id"): 5,
    ("sales_order", "staff_id"): 6,
    ("sales_order", "agreed_delivery_date"): 8,
    ("sales_order", "agreed_delivery_location_id"): 5,
    ("purchase_order", "staff_id"): 6,
    ("purchase_order", "item_code"): 5,
    ("purchase_order", "agreed_delivery_date"): 8,
    ("purchase_order", "agreed_delivery_location_id"): 6,
    ("design", "file_location"): 33,
}
TOTAL = sum(SEEN.values())
A_DAY = TOTAL / _WORKING_DAYS_MEASURED
