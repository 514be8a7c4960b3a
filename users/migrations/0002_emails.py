from django.db import migrations, models

from users.emails import validate


class Migration(migrations.Migration):
    """Say what an address is in the model too; the table stays as it is."""

    dependencies = [("users", "0001_initial")]
    operations = [
        migrations.AlterField(
            model_name="user",
            name="email",
            field=models.EmailField(max_length=254, unique=True, validators=[validate]),
        ),
    ]
