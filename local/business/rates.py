"""The back office's rate of amendments, and the default seed of its simulated days.

They are in their own module, because the help of `totes simulate` shows them and must not import NumPy.
"""

SEED = 755

_WORKING_DAYS_MEASURED = 64
# How often each column was amended between the extracts of 2024-08-19 and 2024-11-15.
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
